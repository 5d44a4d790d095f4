"""Per-process caches whose entries end everywhere when the transaction that changes them commits."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from ragwork_hooks.storage import Transaction

from ragwork_kernel.data.notifications import NotificationChannel

V = TypeVar("V")
TOPIC = "cache"


class InvalidatedCache(Generic[V]):
    """One named cache. Implements ``ragwork_hooks.storage.Cache``."""

    def __init__(self, name: str, notifications: NotificationChannel, ttl_s: float, size: int) -> None:
        self._name = name
        self._notifications = notifications
        self._ttl_s = ttl_s
        self._size = size
        self._entries: OrderedDict[str, tuple[float, V]] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Any]] = {}

    def get(self, key: str, load: Callable[[], Awaitable[V]]) -> Coroutine[Any, Any, V]:
        return self._read(key, load, keeps_none=True)

    def get_optional(
        self, key: str, load: Callable[[], Awaitable[V | None]]
    ) -> Coroutine[Any, Any, V | None]:
        return self._read(key, load, keeps_none=False)

    async def _read(self, key: str, load: Callable[[], Awaitable[Any]], *, keeps_none: bool) -> Any:
        entry = self._entries.get(key)
        if entry is not None and entry[0] > time.monotonic() and self._notifications.fresh:
            return entry[1]
        task = self._loading.get(key)
        if task is None:
            task = asyncio.create_task(self._load(key, load, keeps_none))
            self._loading[key] = task
        return await asyncio.shield(task)

    async def invalidate(self, tx: Transaction, key: str) -> None:
        await self._notifications.publish(tx, TOPIC, {"name": self._name, "key": key})

    def drop(self, key: str) -> None:
        self._entries.pop(key, None)
        # A load under way may have read the old state: let it answer, but not be kept.
        self._loading.pop(key, None)

    def clear(self) -> None:
        self._entries.clear()
        self._loading.clear()

    async def _load(self, key: str, load: Callable[[], Awaitable[Any]], keeps_none: bool) -> Any:
        mine = asyncio.current_task()
        try:
            value = await load()
        except BaseException:
            if self._loading.get(key) is mine:
                del self._loading[key]
            raise
        if self._loading.get(key) is mine:
            del self._loading[key]
            if value is None and not keeps_none:
                return None
            self._entries[key] = (time.monotonic() + self._ttl_s, value)
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)
        return value


class KernelCaches:
    """Makes the caches and routes invalidations to them. Implements ``ragwork_hooks.storage.Caches``."""

    def __init__(self, notifications: NotificationChannel) -> None:
        self._notifications = notifications
        self._caches: dict[str, InvalidatedCache[object]] = {}
        notifications.on(TOPIC, self._invalidated)
        notifications.on_gap(self._clear)

    def cache(self, name: str, *, ttl_s: float, size: int = 10_000) -> InvalidatedCache[object]:
        if name not in self._caches:
            self._caches[name] = InvalidatedCache(name, self._notifications, ttl_s, size)
        return self._caches[name]

    def _invalidated(self, message: dict[str, str]) -> None:
        cache = self._caches.get(message["name"])
        if cache is not None:
            cache.drop(message["key"])

    def _clear(self) -> None:
        for cache in self._caches.values():
            cache.clear()
