"""Shared state of many processes: ``ragwork_hooks.storage.State`` on Redis or Valkey."""

import math
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from ragwork_hooks.storage import Bucket, BucketDraw

from ragwork_redis.channels import Channels
from ragwork_redis.guarded_client import GuardedClient
from ragwork_redis.keys import Keys
from ragwork_redis.scripts import INCREMENT, LOCK, TAKE, UNLOCK

_EPOCH_MEMORY_MS: Final = 86_400_000
_LONGEST_S: Final = 3.0e9  # about a century: what never ends does not fit the store's clock


class RedisState:
    """Every method is one round trip and one step of the store, on the store's clock.

    Times to live are rounded up to milliseconds. Raises ``ProviderError`` STATE_UNAVAILABLE while the store
    is away, within the time that its address sets, and then at once.
    """

    def __init__(self, client: GuardedClient, channels: Channels, keys: Keys) -> None:
        self._client = client
        self._channels = channels
        self._keys = keys

    async def increment(self, scope: str, key: str, by: int = 1, ttl_s: float | None = None) -> int:
        """See ``State``."""
        lives = b"" if ttl_s is None else _ms(ttl_s)
        return int(await self._client.run(INCREMENT, [self._keys.of("counter", scope, key)], by, lives))

    async def take(self, scope: str, buckets: Sequence[Bucket], cost: float) -> BucketDraw:
        """See ``State``. Raises ``ValueError`` for a bucket named twice or a number that is none."""
        if not buckets:
            return BucketDraw(wait_s=0.0, short=None, remaining=())
        keys = [self._keys.of("bucket", scope, bucket.key) for bucket in buckets]
        numbers = [number for bucket in buckets for number in _rate_and_burst(bucket)]
        if len(set(keys)) < len(keys):
            raise ValueError("a bucket is named twice")
        if not (math.isfinite(cost) and cost >= 0):
            raise ValueError(f"{cost!r} is no cost")
        wait, short, *left = await self._client.run(TAKE, keys, repr(float(cost)), *numbers)
        return BucketDraw(
            wait_s=float(wait) / 1e6,
            short=None if short < 0 else short,
            remaining=tuple(float(tokens) for tokens in left),
        )

    async def put(self, scope: str, key: str, value: bytes, ttl_s: float) -> None:
        """See ``State``."""
        await self._client.send("SET", self._keys.of("value", scope, key), value, "PX", _ms(ttl_s))

    async def put_once(self, scope: str, key: str, value: bytes, ttl_s: float) -> bool:
        """See ``State``."""
        name = self._keys.of("value", scope, key)
        return bool(await self._client.send("SET", name, value, "NX", "PX", _ms(ttl_s)))

    async def get(self, scope: str, key: str) -> bytes | None:
        """See ``State``."""
        value: bytes | None = await self._client.send("GET", self._keys.of("value", scope, key))
        return value

    async def pop(self, scope: str, key: str) -> bytes | None:
        """See ``State``."""
        value: bytes | None = await self._client.send("GETDEL", self._keys.of("value", scope, key))
        return value

    async def lock(self, scope: str, key: str, ttl_s: float) -> int | None:
        """See ``State``."""
        names = [self._keys.of("lock", scope, key), self._keys.of("epoch", scope, key)]
        lives = _ms(ttl_s)
        epoch = await self._client.run(LOCK, names, lives, lives + _EPOCH_MEMORY_MS)
        return None if epoch is None else int(epoch)

    async def unlock(self, scope: str, key: str, epoch: int) -> bool:
        """See ``State``."""
        return bool(await self._client.run(UNLOCK, [self._keys.of("lock", scope, key)], epoch))

    async def publish(self, channel: str, message: bytes) -> None:
        """See ``State``."""
        await self._client.send("PUBLISH", self._keys.channel(channel), message)

    def subscribe(self, channel: str) -> AsyncGenerator[bytes, None]:
        """See ``State``. Outlives the store's absence; what was published meanwhile is lost."""
        return self._channels.messages(self._keys.channel(channel))

    async def check(self) -> None:
        """Raises ``ProviderError`` STATE_UNAVAILABLE when the store can't be written now."""
        await self._client.probe()


def _rate_and_burst(bucket: Bucket) -> tuple[str, str]:
    if not (math.isfinite(bucket.rate) and math.isfinite(bucket.burst)):
        raise ValueError(f"bucket {bucket.key!r} has a rate or burst that is no number")
    # What nothing flows into holds nothing.
    empty = bucket.rate <= 0 or bucket.burst <= 0
    return ("1", "0") if empty else (repr(float(bucket.rate)), repr(float(bucket.burst)))


def _ms(seconds: float) -> int:
    return max(1, math.ceil(min(seconds, _LONGEST_S) * 1000))
