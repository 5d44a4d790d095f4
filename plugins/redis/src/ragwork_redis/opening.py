"""Puts the parts together for as long as the process runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ragwork_redis.channels import Channels
from ragwork_redis.guarded_client import GuardedClient
from ragwork_redis.keys import Keys
from ragwork_redis.redis_url import Address
from ragwork_redis.state import RedisState


@asynccontextmanager
async def session(url: str) -> AsyncIterator[RedisState]:
    """Shared state in the store at ``url``, which may be away. Raises ``ConfigError``."""
    address = Address.parse(url)
    pool = address.pool()
    keys = Keys(address.prefix)
    client = GuardedClient(pool, address.timeout_s, keys.of("value", "", "probe"))
    channels = Channels(pool, address.timeout_s)
    try:
        yield RedisState(client, channels, keys)
    finally:
        await channels.close()
        await client.close()
        await pool.aclose()
