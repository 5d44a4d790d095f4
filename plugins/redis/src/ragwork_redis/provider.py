"""The provider ``redis`` of kind ``state``, which phase 0 of the boot opens with ``REDIS_URL``."""

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol, cast

from ragwork_hooks.infrastructure import StateProvider
from ragwork_hooks.storage import SharedState


class Checked(Protocol):
    """A state that can be asked whether its store answers."""

    async def check(self) -> None: ...


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[SharedState]:
    """Shared state in the store at ``url``. Nothing is awaited of the store. Raises ``ConfigError``."""
    # redis-py takes a third of a second to import: not on the event loop.
    await asyncio.to_thread(importlib.import_module, "ragwork_redis.opening")
    from ragwork_redis.opening import session

    async with session(url) as state:
        yield state


async def check(state: SharedState) -> None:
    """Raises ``ProviderError`` STATE_UNAVAILABLE when the store can't be written now."""
    await cast(Checked, state).check()


provider = StateProvider(name="redis", open=connect, check=check)
