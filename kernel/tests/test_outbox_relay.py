"""The outbox: written with the change, delivered at least once, in order, each lane on its own."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
import pytest_asyncio
from job_bench import Recorder, until
from ragwork_hooks.events import Delivery, Event
from ragwork_hooks.jobs import PermanentFailure
from ragwork_kernel.data.db import Pool
from ragwork_kernel.work import outbox
from ragwork_kernel.work.outbox import OutboxEvents, Relay
from ragwork_testkit.database import FreshDatabase


class Collector:
    """A sink that remembers, and asks ``then`` before it accepts."""

    def __init__(
        self, name: str, types: tuple[str, ...], then: Callable[[Delivery], Awaitable[None]] | None = None
    ) -> None:
        self.name = name
        self.types = types
        self.got: list[Delivery] = []
        self._then = then

    async def deliver(self, delivery: Delivery) -> None:
        if self._then is not None:
            await self._then(delivery)
        self.got.append(delivery)

    def payloads(self, key: str) -> list[object]:
        return [d.event.payload["n"] for d in self.got if d.event.key == key]


@pytest_asyncio.fixture
async def pool(database: FreshDatabase) -> AsyncIterator[Pool]:
    made = await Pool.open(database.app, size=6, statement_timeout_ms=5000)
    yield made
    await made.close()


async def publish(pool: Pool, events: OutboxEvents, tenant: str, key: str, *numbers: int) -> None:
    async with pool.tenant(tenant) as tx:
        for n in numbers:
            await events.publish(tx, Event(type="thing.changed", key=key, payload={"n": n}))


async def rows(database: FreshDatabase) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(database.dispatcher)
    found: list[asyncpg.Record] = await connection.fetch("SELECT * FROM ragwork.outbox ORDER BY id")
    await connection.close()
    return found


async def test_an_event_is_delivered_if_and_only_if_its_transaction_commits(
    database: FreshDatabase, pool: Pool
) -> None:
    sink = Collector("s", ("thing.*",))
    events = OutboxEvents([sink])
    async with Relay(database.dispatcher, [sink], Recorder()):
        await asyncio.sleep(0.2)
        with contextlib.suppress(ZeroDivisionError):
            async with pool.tenant("t1") as tx:
                await events.publish(tx, Event(type="thing.changed", key="k", payload={"n": 0}))
                raise ZeroDivisionError
        await publish(pool, events, "t1", "k", 1)
        committed = time.monotonic()
        await until(lambda: bool(sink.got))
        assert time.monotonic() - committed < 0.5
        await asyncio.sleep(0.1)
    (delivery,) = sink.got
    assert (delivery.tenant_id, delivery.attempt) == ("t1", 1)
    assert delivery.event == Event(type="thing.changed", key="k", payload={"n": 1})
    assert await rows(database) == []


async def test_an_event_that_no_sink_wants_is_not_written(database: FreshDatabase, pool: Pool) -> None:
    exact, prefix = Collector("exact", ("thing.made",)), Collector("prefix", ("other.*", "thing"))
    events = OutboxEvents([exact, prefix])
    await publish(pool, events, "t1", "k", 1)
    assert await rows(database) == []
    async with pool.tenant("t1") as tx:
        await events.publish(tx, Event(type="thing.made", key="k"))
        await events.publish(tx, Event(type="other.made", key="k"))
    assert [row["sink"] for row in await rows(database)] == ["exact", "prefix"]


async def test_three_relays_keep_the_order_of_each_lane(database: FreshDatabase, pool: Pool) -> None:
    async def slowly(_: Delivery) -> None:
        await asyncio.sleep(0.001)

    sink = Collector("s", ("thing.*",), slowly)
    events = OutboxEvents([sink])
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(Relay(database.dispatcher, [sink], Recorder()))
        for start in range(0, 60, 6):
            await asyncio.gather(
                *(publish(pool, events, "t1", f"k{k}", *range(start, start + 6)) for k in range(5))
            )
        await until(lambda: len(sink.got) >= 300, 20)
    assert len(sink.got) == 300
    for k in range(5):
        assert sink.payloads(f"k{k}") == list(range(60))


async def test_a_failing_event_holds_up_its_own_lane_only_and_dies_with_its_reason(
    database: FreshDatabase, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BACKOFF_S", 0.05)

    async def refuse(delivery: Delivery) -> None:
        if delivery.event.key == "bad" and delivery.event.payload["n"] == 1:
            raise RuntimeError("refused\x00")

    picky, calm = Collector("picky", ("thing.*",), refuse), Collector("calm", ("thing.*",))
    events, recorder = OutboxEvents([picky, calm]), Recorder()
    await publish(pool, events, "t1", "bad", 0, 1, 2, 3)
    await publish(pool, events, "t1", "good", 0, 1, 2)
    await publish(pool, events, "t2", "bad", 0)
    async with Relay(database.dispatcher, [picky, calm], recorder, max_attempts=4):
        await until(lambda: len(calm.got) == 8 and picky.payloads("good") == [0, 1, 2])
        await until(lambda: [d.tenant_id for d in picky.got].count("t2") == 1)
        assert [d.event.payload["n"] for d in picky.got if d.event.key == "bad" and d.tenant_id == "t1"] == [
            0
        ]
        await until(lambda: picky.payloads("bad").count(3) == 1)
    assert [d.event.payload["n"] for d in picky.got if d.event.key == "bad" and d.tenant_id == "t1"] == [
        0,
        2,
        3,
    ]
    (dead,) = await rows(database)
    assert (dead["sink"], dead["attempt"], dead["reason"]) == ("picky", 4, "RuntimeError: refused")
    assert dead["dead_at"] is not None
    assert recorder.counts[("events_total", "picky", "dead")] == 1


async def test_a_sink_that_gives_up_is_not_asked_again(database: FreshDatabase, pool: Pool) -> None:
    async def refuse(delivery: Delivery) -> None:
        if delivery.event.payload["n"] == 0:
            raise PermanentFailure("gone for good")

    sink = Collector("s", ("thing.*",), refuse)
    await publish(pool, OutboxEvents([sink]), "t1", "k", 0, 1)
    async with Relay(database.dispatcher, [sink], Recorder()):
        await until(lambda: sink.payloads("k") == [1])
    (dead,) = await rows(database)
    assert (dead["attempt"], dead["reason"]) == (1, "PermanentFailure: gone for good")
    assert dead["dead_at"] is not None


async def test_a_long_blocked_lane_does_not_delay_the_others(database: FreshDatabase, pool: Pool) -> None:
    async def refuse(delivery: Delivery) -> None:
        if delivery.event.key == "blocked":
            raise RuntimeError("down")

    sink = Collector("s", ("thing.*",), refuse)
    events = OutboxEvents([sink])
    await publish(pool, events, "t1", "blocked", *range(600))
    async with Relay(database.dispatcher, [sink], Recorder()):
        await asyncio.sleep(0.3)
        published = time.monotonic()
        await publish(pool, events, "t2", "k", 1)
        await until(lambda: len(sink.got) == 1)
        assert time.monotonic() - published < 1


async def test_what_a_killed_relay_had_in_hand_is_delivered_again(
    database: FreshDatabase, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Collector("s", ("thing.*",))
    events = OutboxEvents([sink])
    await publish(pool, events, "t1", "k", 1, 2)
    connection = await asyncpg.connect(database.dispatcher)
    claimed = await connection.fetch(
        "SELECT id FROM ragwork.claim_events(gen_random_uuid(), '{s}', 1, 10, interval '1 second')"
    )
    assert len(claimed) == 1
    await connection.close()
    monkeypatch.setattr(outbox, "POLL_S", 0.2)
    async with Relay(database.dispatcher, [sink], Recorder()):
        await asyncio.sleep(0.5)
        assert sink.got == []  # the lane rests while the lease lasts, or 2 would overtake 1
        await until(lambda: len(sink.got) == 2)
    assert sink.payloads("k") == [1, 2]
    assert sink.got[0].id == claimed[0]["id"]
    assert sink.got[0].attempt == 2


async def test_a_hanging_sink_is_cut_off(
    database: FreshDatabase, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "DELIVER_S", 0.1)
    monkeypatch.setattr(outbox, "BACKOFF_S", 0.05)

    async def hang(delivery: Delivery) -> None:
        if delivery.attempt == 1:
            await asyncio.sleep(60)

    sink = Collector("s", ("thing.*",), hang)
    events = OutboxEvents([sink])
    await publish(pool, events, "t1", "k", 1)
    async with Relay(database.dispatcher, [sink], Recorder()):
        await until(lambda: len(sink.got) == 1, 5)
    assert sink.got[0].attempt == 2


async def test_the_application_role_can_only_add_to_its_own_tenants_outbox(
    database: FreshDatabase, pool: Pool
) -> None:
    await publish(pool, OutboxEvents([Collector("s", ("thing.*",))]), "t1", "k", 1)
    for statement in (
        "SELECT * FROM ragwork.outbox",
        "DELETE FROM ragwork.outbox",
        "UPDATE ragwork.outbox SET key = 'x'",
        "SELECT ragwork.claim_events(gen_random_uuid(), '{s}', 1, 1, '1 s')",
        "INSERT INTO ragwork.outbox (tenant_id, sink, type, key, payload) VALUES ('t2', 's', 't', 'k', '{}')",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with pool.tenant("t1") as tx:
                await tx.execute(statement)
