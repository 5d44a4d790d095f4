"""What one process commits reaches every other within a second, or is read through meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import attrs
import pytest
import pytest_asyncio
from ragwork_kernel.data import migrations
from ragwork_kernel.data.caches import InvalidatedCache, KernelCaches
from ragwork_kernel.data.db import Pool
from ragwork_kernel.data.notifications import REVOCATION_WINDOW_S, NotificationChannel
from ragwork_testkit.database import FreshDatabase, PostgresServer
from serving import eventually


@attrs.frozen(kw_only=True)
class Process:
    """The parts of one process that share news with the others."""

    pool: Pool
    notifications: NotificationChannel
    cache: InvalidatedCache[object]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(postgres: PostgresServer) -> AsyncIterator[FreshDatabase]:
    """One database for this module: its tests keep nothing in it."""
    async with postgres.database([migrations.KERNEL]) as fresh:
        yield fresh


@contextlib.asynccontextmanager
async def process(database: FreshDatabase, size: int = 10_000, ttl_s: float = 60) -> AsyncIterator[Process]:
    pool = await Pool.open(database.app, size=2, statement_timeout_ms=5000)
    notifications = NotificationChannel(database.app)
    caches = KernelCaches(notifications)
    await notifications.start()
    try:
        yield Process(
            pool=pool, notifications=notifications, cache=caches.cache("test.things", ttl_s=ttl_s, size=size)
        )
    finally:
        await notifications.close()
        await pool.close()


def counted(value: object, calls: list[object]) -> Callable[[], Awaitable[object]]:
    async def load() -> object:
        calls.append(value)
        return value

    return load


async def listeners(database: FreshDatabase) -> list[int]:
    """Backends that listen on the bus, by process id."""
    admin = await asyncpg.connect(database.admin)
    rows = await admin.fetch(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename = 'ragwork_app'"
        " AND application_name <> 'ragwork'"
    )
    await admin.close()
    return [row["pid"] for row in rows]


async def kill(database: FreshDatabase, pids: list[int]) -> None:
    admin = await asyncpg.connect(database.admin)
    for pid in pids:
        await admin.execute("SELECT pg_terminate_backend($1)", pid)
    await admin.close()


async def test_a_value_is_loaded_once_until_it_is_invalidated_everywhere(database: FreshDatabase) -> None:
    calls: list[object] = []
    async with process(database) as here, process(database) as there:
        for place in (here, there):
            assert await place.cache.get("k", counted("old", calls)) == "old"
            assert await place.cache.get("k", counted("unused", calls)) == "old"
        async with here.pool.tenant("t1") as tx:
            await here.cache.invalidate(tx, "k")
            assert await here.cache.get("k", counted("unused", calls)) == "old"
        # This process: before the commit returned. The other: within a second.
        assert await here.cache.get("k", counted("new", calls)) == "new"
        await asyncio.sleep(0.5)
        assert await there.cache.get("k", counted("new", calls)) == "new"
    assert calls == ["old", "old", "new", "new"]


async def test_a_rolled_back_invalidation_drops_nothing(database: FreshDatabase) -> None:
    calls: list[object] = []
    async with process(database) as here, process(database) as there:
        for place in (here, there):
            await place.cache.get("k", counted("old", calls))
        with contextlib.suppress(RuntimeError):
            async with here.pool.tenant("t1") as tx:
                await here.cache.invalidate(tx, "k")
                raise RuntimeError
        await asyncio.sleep(0.3)
        for place in (here, there):
            assert await place.cache.get("k", counted("new", calls)) == "old"


async def test_a_load_that_an_invalidation_overtook_answers_but_is_not_kept(database: FreshDatabase) -> None:
    go = asyncio.Event()

    async def slow() -> object:
        await go.wait()
        return "stale"

    async with process(database) as here:
        first = asyncio.create_task(here.cache.get("k", slow))
        await asyncio.sleep(0)
        async with here.pool.tenant("t1") as tx:
            await here.cache.invalidate(tx, "k")
        assert await here.cache.get("k", counted("new", [])) == "new"
        go.set()
        assert await first == "stale"
        assert await here.cache.get("k", counted("unused", [])) == "new"


async def test_concurrent_misses_load_once_and_a_failed_load_is_tried_again(database: FreshDatabase) -> None:
    calls: list[object] = []

    async def load() -> object:
        calls.append(1)
        await asyncio.sleep(0.02)
        if len(calls) == 1:
            raise RuntimeError("first")
        return "value"

    async with process(database) as here:
        first = await asyncio.gather(*(here.cache.get("k", load) for _ in range(5)), return_exceptions=True)
        assert all(isinstance(error, RuntimeError) for error in first)
        assert await asyncio.gather(*(here.cache.get("k", load) for _ in range(5))) == ["value"] * 5
    assert len(calls) == 2


async def test_what_is_absent_is_answered_and_asked_for_again_until_it_is_there(
    database: FreshDatabase,
) -> None:
    calls: list[object] = []
    async with process(database) as here:
        asked = [here.cache.get_optional("k", counted(None, calls)) for _ in range(3)]
        assert await asyncio.gather(*asked) == [None] * 3
        assert await here.cache.get_optional("k", counted(None, calls)) is None
        assert await here.cache.get_optional("k", counted("made", calls)) == "made"
        assert await here.cache.get_optional("k", counted("unused", calls)) == "made"
    assert calls == [None, None, "made"]


async def test_an_answer_of_none_is_kept_where_it_is_a_value(database: FreshDatabase) -> None:
    calls: list[object] = []
    async with process(database) as here:
        assert await here.cache.get("k", counted(None, calls)) is None
        assert await here.cache.get("k", counted("unused", calls)) is None
    assert calls == [None]


async def test_a_caller_that_gives_up_does_not_spoil_the_load_for_others(database: FreshDatabase) -> None:
    async def load() -> object:
        await asyncio.sleep(0.1)
        return "value"

    async with process(database) as here:
        first = asyncio.create_task(here.cache.get("k", load))
        second = asyncio.create_task(here.cache.get("k", load))
        await asyncio.sleep(0.02)
        first.cancel()
        assert await second == "value"


async def test_entries_age_and_the_oldest_give_way(database: FreshDatabase) -> None:
    calls: list[object] = []
    async with process(database, size=2, ttl_s=0.2) as here:
        for key in ("a", "b", "c"):
            await here.cache.get(key, counted(key, calls))
        await here.cache.get("c", counted("c", calls))
        await here.cache.get("a", counted("a", calls))
        assert calls == ["a", "b", "c", "a"]
        await asyncio.sleep(0.25)
        await here.cache.get("c", counted("c", calls))
        assert calls[-1] == "c"


async def test_while_the_channel_is_broken_every_get_reads_through(
    database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listener is killed and can't come back; what the other process changes is seen at once."""
    values = iter(["cached", "fresh", "fresher"])

    async def load() -> object:
        return next(values)

    async with process(database) as here:
        assert await here.cache.get("k", load) == "cached"

        pids = await listeners(database)

        async def refused(*_args: object, **_more: object) -> None:
            raise OSError("refused")

        with monkeypatch.context() as broken:
            broken.setattr("ragwork_kernel.data.notifications.asyncpg.connect", refused)
            async with here.pool.tenant("t1") as tx:
                for pid in pids:
                    assert await tx.fetchval("SELECT pg_terminate_backend($1)", pid)
            await asyncio.sleep(REVOCATION_WINDOW_S + 0.1)
            assert not here.notifications.fresh
            assert await here.cache.get("k", load) == "fresh"
            assert await here.cache.get("k", load) == "fresher"
        await eventually(lambda: here.notifications.fresh, 5)


async def test_after_a_reconnect_nothing_from_before_the_gap_is_believed(database: FreshDatabase) -> None:
    calls: list[object] = []
    async with process(database) as here:
        await here.cache.get("k", counted("old", calls))
        await kill(database, await listeners(database))
        await asyncio.sleep(0.1)
        await eventually(lambda: here.notifications.fresh, 5)
        await asyncio.sleep(0.5)
        assert await here.cache.get("k", counted("new", calls)) == "new"


async def test_the_bus_survives_being_killed_at_every_moment(database: FreshDatabase) -> None:
    async with process(database) as here, process(database) as there:
        loop = asyncio.get_running_loop()
        until = loop.time() + 2
        while loop.time() < until:
            await kill(database, await listeners(database))
        await eventually(lambda: here.notifications.fresh and there.notifications.fresh, 5)
        await asyncio.sleep(0.4)
        heard: list[dict[str, str]] = []
        there.notifications.on("news", heard.append)
        async with here.pool.tenant("t1") as tx:
            await here.notifications.publish(tx, "news", {"n": "1"})
        await eventually(lambda: bool(heard), 1)
        assert heard == [{"n": "1"}]


async def test_a_connection_lost_before_it_listens_is_tried_again(
    database: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen = asyncpg.Connection.add_listener
    lost = [True]

    async def once(connection: asyncpg.Connection, *args: object) -> None:  # type: ignore[type-arg]
        if lost:
            lost.clear()
            connection.terminate()
        await listen(connection, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncpg.Connection, "add_listener", once)
    async with process(database) as here:
        assert not lost
        assert here.notifications.fresh


async def test_a_handler_that_fails_does_not_deafen_the_bus(database: FreshDatabase) -> None:
    heard: list[dict[str, str]] = []

    def fails(_message: dict[str, str]) -> None:
        raise RuntimeError("bad handler")

    async with process(database) as here, process(database) as there:
        there.notifications.on("bad", fails)
        there.notifications.on("good", heard.append)
        for topic in ("bad", "unknown", "good"):
            async with here.pool.tenant("t1") as tx:
                await here.notifications.publish(tx, topic, {"n": "1"})
        await eventually(lambda: bool(heard), 1)


async def test_a_key_can_be_any_text(database: FreshDatabase) -> None:
    key = "ü'\"\\\n\u2028;" * 20
    async with process(database) as here, process(database) as there:
        await there.cache.get(key, counted("old", []))
        async with here.pool.tenant("t1") as tx:
            await here.cache.invalidate(tx, key)
        await asyncio.sleep(0.4)
        assert await there.cache.get(key, counted("new", [])) == "new"
