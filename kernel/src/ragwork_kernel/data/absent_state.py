"""Shared state where nothing installed keeps any: its users do what they do while the store is away."""

from collections.abc import AsyncIterator, Sequence
from typing import NoReturn

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.storage import Bucket, BucketDraw


class AbsentState:
    """Implements ``ragwork_hooks.storage.State``: every call raises ``ProviderError`` STATE_UNAVAILABLE."""

    async def increment(self, scope: str, key: str, by: int = 1, ttl_s: float | None = None) -> int:
        _refuse()

    async def take(self, scope: str, buckets: Sequence[Bucket], cost: float) -> BucketDraw:
        _refuse()

    async def put(self, scope: str, key: str, value: bytes, ttl_s: float) -> None:
        _refuse()

    async def put_once(self, scope: str, key: str, value: bytes, ttl_s: float) -> bool:
        _refuse()

    async def get(self, scope: str, key: str) -> bytes | None:
        _refuse()

    async def pop(self, scope: str, key: str) -> bytes | None:
        _refuse()

    async def lock(self, scope: str, key: str, ttl_s: float) -> int | None:
        _refuse()

    async def unlock(self, scope: str, key: str, epoch: int) -> bool:
        _refuse()

    async def publish(self, channel: str, message: bytes) -> None:
        _refuse()

    def subscribe(self, channel: str) -> AsyncIterator[bytes]:
        _refuse()


def _refuse() -> NoReturn:
    raise ProviderError(
        "STATE_UNAVAILABLE", "nothing installed keeps shared state: install ragwork-memory, or ragwork-redis"
    )
