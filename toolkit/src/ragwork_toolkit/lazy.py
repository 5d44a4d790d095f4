"""Lazy imports: what takes long to import is loaded off the event loop, when it is first needed.

Users: agent, scim, s3source, milvus.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class LazyImport(Generic[T]):
    """The result of ``load()``, called once and in a thread. After a failure the next call tries again."""

    def __init__(self, load: Callable[[], T]) -> None:
        self._load = load
        self._loading: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """What was loaded; all wait for the same load, and who is cancelled leaves it to the others.

        Raises what ``load`` raises.
        """
        if self._loading is None or _failed(self._loading):
            self._loading = asyncio.create_task(asyncio.to_thread(self._load), name="lazy import")
        return await asyncio.shield(self._loading)

    async def release(self) -> T | None:
        """What was loaded, and is no longer kept; ``None`` if nothing was. Waits for a load under way."""
        loading, self._loading = self._loading, None
        if loading is None:
            return None
        await asyncio.wait({loading})
        return None if _failed(loading) else loading.result()


def _failed(loading: "asyncio.Task[T]") -> bool:
    return loading.done() and (loading.cancelled() or loading.exception() is not None)
