"""Messages reach every subscriber, over one connection that is made again whenever it breaks."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from ragwork_hooks.errors import ProviderError
from ragwork_redis.channels import QUEUE_SIZE
from ragwork_redis.opening import session
from ragwork_redis.state import RedisState
from ragwork_testkit.tcpproxy import between
from ragwork_testkit.valkey import ValkeyServer
from redis import Redis


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    hurt = ValkeyServer(tmp_path_factory.mktemp("hurt")).start()
    yield hurt
    hurt.kill()


@pytest_asyncio.fixture
async def state(server: ValkeyServer) -> AsyncIterator[RedisState]:
    async with session(server.url) as opened:
        yield opened


async def heard(stream: AsyncGenerator[bytes, None], state: RedisState, channel: str, message: bytes) -> None:
    """Publish again and again until ``stream`` has it."""
    waiting = asyncio.create_task(anext(stream))
    async with asyncio.timeout(5):
        while not waiting.done():
            with suppress(ProviderError):
                await state.publish(channel, message)
            await asyncio.sleep(0.01)
    assert waiting.result() == message


async def until(holds: Callable[[], bool]) -> None:
    """Look again and again."""
    while not holds():  # noqa: ASYNC110 - the change happens in another process
        await asyncio.sleep(0.01)


async def test_a_subscription_outlives_its_server(server: ValkeyServer, state: RedisState) -> None:
    stream = state.subscribe("c")
    await heard(stream, state, "c", b"before")
    server.kill()
    await asyncio.sleep(0.1)
    server.start()
    await heard(stream, state, "c", b"after")
    await stream.aclose()


async def test_a_subscription_may_begin_while_the_store_is_away(
    server: ValkeyServer, state: RedisState
) -> None:
    server.kill()
    stream = state.subscribe("c")
    begun = asyncio.create_task(heard(stream, state, "c", b"x"))
    await asyncio.sleep(0.1)
    server.start()
    await begun
    await stream.aclose()


async def test_channels_added_and_left_while_the_line_is_made_are_heard(
    server: ValkeyServer, state: RedisState
) -> None:
    first, left = state.subscribe("c"), asyncio.create_task(anext(state.subscribe("left")))
    await asyncio.sleep(0)
    left.cancel()
    later = state.subscribe("d")
    await asyncio.gather(heard(first, state, "c", b"1"), heard(later, state, "d", b"2"))
    again = state.subscribe("left")
    await heard(again, state, "left", b"3")
    for stream in (first, later, again):
        await stream.aclose()
    # Nobody listens now; whoever comes next is heard all the same.
    await heard(state.subscribe("e"), state, "e", b"4")


async def test_a_line_that_went_silent_is_made_anew(server: ValkeyServer) -> None:
    async with between(server.url) as proxy:
        url = server.url.replace(f":{server.port}/", f":{urlsplit(proxy.url).port}/")
        async with session(url) as state, session(server.url) as publisher:
            stream = state.subscribe("c")
            await heard(stream, publisher, "c", b"1")
            proxy.mode = "blackhole"
            await asyncio.sleep(0.1)
            lines = proxy.accepted
            async with asyncio.timeout(10):
                await until(lambda: proxy.accepted > lines)
            proxy.mode = "pass"
            await heard(stream, publisher, "c", b"2")
            await stream.aclose()


async def test_all_subscriptions_of_a_process_share_one_connection(
    server: ValkeyServer, state: RedisState
) -> None:
    streams = [state.subscribe(f"c{n}") for n in range(40)]
    waiting = [asyncio.create_task(anext(stream)) for stream in streams]
    with Redis.from_url(server.url) as admin:
        async with asyncio.timeout(5):
            await until(lambda: len(admin.pubsub_channels()) == 40)
        assert len(admin.client_list(_type="pubsub")) == 1
        for n in range(40):
            await state.publish(f"c{n}", b"%d" % n)
        assert await asyncio.gather(*waiting) == [b"%d" % n for n in range(40)]
        for stream in streams:
            await stream.aclose()
        async with asyncio.timeout(5):
            await until(lambda: not admin.pubsub_channels())


async def test_a_slow_subscriber_keeps_the_newest_messages(state: RedisState) -> None:
    stream = state.subscribe("c")
    await heard(stream, state, "c", b"first")
    for n in range(2 * QUEUE_SIZE):
        await state.publish("c", b"%d" % n)
    await asyncio.sleep(0.1)
    kept = [await anext(stream) for _ in range(QUEUE_SIZE)]
    assert kept[-1] == b"%d" % (2 * QUEUE_SIZE - 1)
    await stream.aclose()
