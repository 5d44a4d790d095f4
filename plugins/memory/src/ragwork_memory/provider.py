"""The provider ``memory`` of kind ``state``, which phase 0 of the boot opens when ``REDIS_URL`` is unset."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ragwork_hooks.infrastructure import StateProvider
from ragwork_hooks.storage import SharedState

from ragwork_memory.state import InMemoryState


@asynccontextmanager
async def begin(_url: str) -> AsyncIterator[SharedState]:
    """An empty state, for as long as the block lasts."""
    yield InMemoryState()


provider = StateProvider(name="memory", open=begin, check=None)
