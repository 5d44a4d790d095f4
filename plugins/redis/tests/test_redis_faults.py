"""What a broken store costs: a typed error within a bound, then none of a caller's time, and no help to return."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.storage import Bucket
from ragwork_redis.opening import session
from ragwork_redis.provider import provider
from ragwork_redis.state import RedisState
from ragwork_testkit.tcpproxy import Mode, Proxy, between
from ragwork_testkit.valkey import ValkeyServer
from redis import Redis

TIMEOUT_S = 0.25
#: What a call may take on a machine that has other things to do; all that would be wrong takes two seconds.
BOUND_S = 4 * TIMEOUT_S
BUCKET = [Bucket(key="b", rate=1000, burst=1000)]


@pytest_asyncio.fixture
async def state(own_valkey: ValkeyServer) -> AsyncIterator[RedisState]:
    async with session(f"{own_valkey.url}?timeout={TIMEOUT_S}") as opened:
        yield opened


@pytest.fixture
def admin(own_valkey: ValkeyServer) -> Iterator[Redis]:
    with Redis.from_url(own_valkey.url) as client:
        yield client


async def refused(work: Awaitable[object]) -> float:
    """Seconds after which ``work`` said that the store is away."""
    began = time.perf_counter()
    with pytest.raises(ProviderError) as caught:
        await work
    assert caught.value.code == "STATE_UNAVAILABLE"
    assert caught.value.retryable
    assert "127.0.0.1" not in caught.value.message
    return time.perf_counter() - began


def refused_at_once(work: Coroutine[object, object, object]) -> None:
    """``work`` says that the store is away before it has waited for anything."""
    with pytest.raises(ProviderError) as caught:
        work.send(None)
    assert caught.value.code == "STATE_UNAVAILABLE"


async def back(state: RedisState, within_s: float = 5.0) -> None:
    """Wait until ordinary calls work again."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                await state.take("t", BUCKET, 1)
            except ProviderError:
                await asyncio.sleep(0.01)
            else:
                return


async def test_a_store_that_is_not_there_yet_does_not_hold_up_the_start(own_valkey: ValkeyServer) -> None:
    own_valkey.kill()
    async with provider.open(f"{own_valkey.url}?timeout={TIMEOUT_S}") as state:
        assert await refused(state.get("t", "v")) < BOUND_S
        with pytest.raises(ProviderError):
            await provider.check(state)
        own_valkey.start()
        async with asyncio.timeout(5):
            while True:
                try:
                    await state.put("t", "v", b"x", 5)
                    break
                except ProviderError:
                    await asyncio.sleep(0.01)
        await provider.check(state)


async def test_every_operation_tells_of_a_killed_server(own_valkey: ValkeyServer, state: RedisState) -> None:
    await state.put("t", "v", b"x", 60)
    own_valkey.kill()
    works: list[Callable[[], Awaitable[object]]] = [
        lambda: state.get("t", "v"),
        lambda: state.pop("t", "v"),
        lambda: state.put("t", "v", b"x", 1),
        lambda: state.put_once("t", "v", b"x", 1),
        lambda: state.increment("t", "n"),
        lambda: state.take("t", BUCKET, 1),
        lambda: state.lock("t", "l", 1),
        lambda: state.unlock("t", "l", 1),
        lambda: state.publish("c", b"x"),
        state.check,
    ]
    for work in works:
        assert await refused(work()) < BOUND_S
    own_valkey.start()
    await back(state)


@pytest.mark.parametrize("mode", ["blackhole", "half_open", "reset"])
async def test_a_broken_network_costs_one_timeout_and_then_nothing(
    own_valkey: ValkeyServer, mode: Mode
) -> None:
    async with between(own_valkey.url) as proxy:
        _with_password(proxy, own_valkey)
        async with session(f"{proxy.url}?timeout={TIMEOUT_S}") as state:
            await back(state)
            proxy.mode = mode
            assert await refused(state.take("t", BUCKET, 1)) < BOUND_S
            for _ in range(20):
                refused_at_once(state.take("t", BUCKET, 1))
                await asyncio.sleep(0.02)
            proxy.mode = "pass"
            await back(state)


async def test_of_a_slow_store_only_the_first_callers_hear_late(own_valkey: ValkeyServer) -> None:
    async with between(own_valkey.url) as proxy:
        _with_password(proxy, own_valkey)
        async with session(f"{proxy.url}?timeout={TIMEOUT_S}") as state:
            await back(state)
            proxy.latency_s = 2.0

            async def request(began: float) -> tuple[float, float]:
                with pytest.raises(ProviderError):
                    await state.take("t", BUCKET, 1)
                return began, time.perf_counter() - began

            outage, requests = time.perf_counter(), []
            for _ in range(200):
                requests.append(asyncio.create_task(request(time.perf_counter())))
                await asyncio.sleep(0.005)
            took = await asyncio.gather(*requests)
            assert max(seconds for _, seconds in took) < BOUND_S
            # Those of the first quarter of a second wait, at any rate of requests less than one in 100 of an
            # outage of half a minute. All others go at once.
            waited = [began - outage for began, seconds in took if seconds > TIMEOUT_S / 2]
            assert max(waited) < BOUND_S
            refused_at_once(state.take("t", BUCKET, 1))
            proxy.latency_s = 0.0
            await back(state)


async def test_a_frozen_server_is_left_alone_until_it_answers(state: RedisState, admin: Redis) -> None:
    await back(state)
    frozen = asyncio.create_task(asyncio.to_thread(admin.execute_command, "DEBUG", "SLEEP", "0.8"))
    await asyncio.sleep(0.1)
    assert await refused(state.increment("t", "n")) < BOUND_S
    refused_at_once(state.increment("t", "n"))
    await frozen
    await back(state)


async def test_a_flushed_server_gets_its_scripts_again(state: RedisState, admin: Redis) -> None:
    await state.take("t", BUCKET, 1)
    first = await state.lock("t", "l", 60)
    admin.flushall()
    admin.script_flush()
    assert (await state.take("t", BUCKET, 1)).wait_s == 0.0
    assert await state.increment("t", "n", ttl_s=1) == 1
    second = await state.lock("t", "l", 60)
    assert first is not None
    assert second is not None
    assert second > first  # a fence that survives the store's loss of memory
    assert not await state.unlock("t", "l", first)


async def test_a_server_without_memory_is_away_until_it_has_some(state: RedisState, admin: Redis) -> None:
    await back(state)
    admin.config_set("maxmemory", "1")
    assert await refused(state.take("t", BUCKET, 1)) < BOUND_S
    refused_at_once(state.put("t", "v", b"x", 1))
    admin.config_set("maxmemory", "0")
    await back(state)


async def test_a_loading_server_is_away(
    own_valkey: ValkeyServer, state: RedisState, admin: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that reads its data back answers LOADING to everything."""
    admin.config_set("loading-process-events-interval-bytes", "1024")
    admin.mset({str(n): b"x" * 50 for n in range(2500)})
    await back(state)
    admin.config_set("key-load-delay", "100")
    reload = asyncio.create_task(asyncio.to_thread(admin.execute_command, "DEBUG", "RELOAD"))
    await asyncio.sleep(0.05)
    while not reload.done():
        with suppress(ProviderError):
            await state.take("t", BUCKET, 1)
        await asyncio.sleep(0.01)
    await reload
    assert "BusyLoadingError" in caplog.text
    await back(state)


async def test_a_failover_is_followed_by_the_address(
    own_valkey: ValkeyServer, tmp_path: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The old primary becomes a read-only replica; the address then leads to the new one."""
    other = ValkeyServer(tmp_path_factory.mktemp("other"), password=own_valkey.password).start()
    try:
        async with between(own_valkey.url) as proxy:
            _with_password(proxy, own_valkey)
            async with session(f"{proxy.url}?timeout={TIMEOUT_S}") as state:
                await back(state)
                with Redis.from_url(own_valkey.url) as admin:
                    admin.config_set("masterauth", own_valkey.password)
                    admin.execute_command("REPLICAOF", "127.0.0.1", other.port)
                assert await refused(state.take("t", BUCKET, 1)) < BOUND_S
                refused_at_once(state.lock("t", "l", 1))
                proxy.port = other.port
                await back(state)
                with Redis.from_url(other.url) as admin:
                    assert admin.dbsize() > 0
    finally:
        other.kill()


async def test_a_wrong_password_is_told_without_showing_it(
    own_valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with session(own_valkey.url.replace(own_valkey.password, "sesame-open")) as state:
            await refused(state.get("t", "v"))
            await asyncio.sleep(0.1)
    assert "sesame" not in caplog.text
    assert "the shared store is away" in caplog.text


async def test_a_server_of_another_kind_is_a_store_that_is_away() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n*1\r\n+OK\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        for url in (f"redis://127.0.0.1:{port}", f"redis://:pw@127.0.0.1:{port}"):
            async with session(url) as state:
                await refused(state.take("t", BUCKET, 1))


async def test_nothing_is_done_twice_when_the_answer_is_lost(own_valkey: ValkeyServer) -> None:
    async with between(own_valkey.url) as proxy:
        _with_password(proxy, own_valkey)
        async with session(f"{proxy.url}?timeout=5") as state:
            proxy.reply_bytes = 1000  # a new line would have room again, so a repeated call would pass
            calls, lost = 0, False
            while not lost and calls < 1000:
                calls += 1
                try:
                    await state.increment("t", "n")
                except ProviderError:
                    lost = True
            assert lost
            proxy.reply_bytes = None
            await back(state)
            assert await state.increment("t", "n", by=0) == calls


async def test_waiting_for_a_connection_counts_as_waiting_for_the_store(own_valkey: ValkeyServer) -> None:
    async with between(own_valkey.url) as proxy:
        _with_password(proxy, own_valkey)
        async with session(f"{proxy.url}?timeout={TIMEOUT_S}&max_connections=1") as state:
            await back(state)
            proxy.mode = "blackhole"
            assert max(await asyncio.gather(*(refused(state.get("t", "v")) for _ in range(8)))) < BOUND_S


async def test_a_cancelled_call_leaves_no_answer_for_the_next(own_valkey: ValkeyServer) -> None:
    async with between(own_valkey.url) as proxy:
        _with_password(proxy, own_valkey)
        async with session(f"{proxy.url}?timeout=5&max_connections=1") as state:
            await state.put("t", "a", b"a", 60)
            await state.put("t", "b", b"b", 60)
            proxy.latency_s = 0.05
            for _ in range(3):
                call = asyncio.create_task(state.get("t", "a"))
                await asyncio.sleep(0.07)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
                assert await state.get("t", "b") == b"b"


async def test_many_at_once_wait_for_a_connection(own_valkey: ValkeyServer) -> None:
    async with session(f"{own_valkey.url}?timeout=10&max_connections=2") as state:
        assert sorted(await asyncio.gather(*(state.increment("t", "n") for _ in range(300)))) == list(
            range(1, 301)
        )


async def test_closing_leaves_no_connection_and_no_task(own_valkey: ValkeyServer, admin: Redis) -> None:
    tasks, own = asyncio.all_tasks(), len(admin.client_list())
    async with session(own_valkey.url) as state:
        stream = state.subscribe("c")
        waiting = asyncio.create_task(anext(stream))
        await state.get("t", "v")
        await asyncio.sleep(0.05)
        own_valkey.kill()
        await refused(state.get("t", "v"))
        own_valkey.start()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert asyncio.all_tasks() == tasks
    await asyncio.sleep(0.05)
    assert len(admin.client_list()) == own


def _with_password(proxy: Proxy, server: ValkeyServer) -> None:
    proxy.url = server.url.replace(f":{server.port}/", f":{urlsplit(proxy.url).port}/")
