"""Documents of providers, kept as long as they are fresh and asked for again no more than allowed.

One URL is asked once per ``spacing_s`` seconds at most, however many logins fail; what was fetched
before keeps working while its provider is away. Entries are bounded, the least recently used go first.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import attrs
from ragwork_hooks.errors import ProviderError

T = TypeVar("T")
_SIZE: Final = 256
#: A document that could not be renewed for this long is no longer believed, in seconds.
_BELIEVED_S: Final = 86_400.0


@attrs.define
class _Entry(Generic[T]):
    lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    value: T | None = None
    fetched_at: float = float("-inf")
    asked_at: float = float("-inf")


class Fetched(Generic[T]):
    """``fetch`` gives a URL's parsed document or raises ``ProviderError``; ``monotonic`` gives seconds."""

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[T]],
        monotonic: Callable[[], float],
        *,
        fresh_s: float,
        spacing_s: float,
    ) -> None:
        self._fetch = fetch
        self._monotonic = monotonic
        self._fresh_s = fresh_s
        self._spacing_s = spacing_s
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()

    async def get(self, url: str) -> T:
        """The document. Raises ``ProviderError`` when there is none to be had."""
        entry = self._entry(url)
        async with entry.lock:
            if self._monotonic() - entry.fetched_at >= self._fresh_s:
                await self._ask(url, entry)
            return self._believed(url, entry)

    async def newer(self, url: str, seen: T) -> T:
        """A newer document than ``seen`` where one can be had by now, else ``seen``."""
        entry = self._entry(url)
        async with entry.lock:
            if entry.value is seen:
                await self._ask(url, entry)
            return self._believed(url, entry)

    def _entry(self, url: str) -> _Entry[T]:
        entry = self._entries.setdefault(url, _Entry())
        self._entries.move_to_end(url)
        if len(self._entries) > _SIZE:
            self._entries.popitem(last=False)
        return entry

    async def _ask(self, url: str, entry: _Entry[T]) -> None:
        now = self._monotonic()
        if now - entry.asked_at < self._spacing_s:
            return
        entry.asked_at = now
        try:
            entry.value = await self._fetch(url)
        except ProviderError:
            if entry.value is None:
                raise
        else:
            entry.fetched_at = now

    def _believed(self, url: str, entry: _Entry[T]) -> T:
        if entry.value is None or self._monotonic() - entry.fetched_at > _BELIEVED_S:
            raise ProviderError("INTEGRATION_UNAVAILABLE", f"{url} gave no valid document a moment ago")
        return entry.value
