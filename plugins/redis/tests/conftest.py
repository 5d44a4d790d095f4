"""State in a real Valkey."""

import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from ragwork_redis.opening import session
from ragwork_redis.state import RedisState
from ragwork_testkit.valkey import ValkeyServer


@pytest.fixture
def redis_url(valkey: ValkeyServer) -> str:
    """The session's server, with keys of this test's own; patient, since the machine may be busy."""
    return f"{valkey.url}?prefix={uuid.uuid4().hex}&timeout=5"


@pytest_asyncio.fixture
async def state(redis_url: str) -> AsyncIterator[RedisState]:
    async with session(redis_url) as opened:
        yield opened
