"""Records are sealed in one chain, whoever writes, however slowly, and whoever dies."""

import asyncio
import os
import random
from typing import Any

import asyncpg
import attrs
import pytest
from ragwork_audit.sealing.merkle import Frontier

WRITERS, EACH = (64, 1000) if os.environ.get("RAGWORK_PROVE") else (16, 12)


async def places(process: Any, tenant: str) -> list[tuple[int, int]]:
    rows = await process.look(
        "SELECT seq, event_id FROM audit.seals WHERE tenant_id = $1 ORDER BY seq", tenant
    )
    return [(row["seq"], row["event_id"]) for row in rows]


async def test_a_record_is_one_round_trip_and_exists_only_if_its_transaction_commits(here: Any) -> None:
    async def mutation() -> None:
        async with here.services.db.tenant("t1") as tx:
            await here.service.log.append(tx, here.event())
            raise RuntimeError("the mutation fails")

    with pytest.raises(RuntimeError):
        await mutation()
    assert here.services.db.statements == 1
    assert await here.look("SELECT 1 FROM audit.events") == []
    await here.write("t1")
    assert len(await here.look("SELECT 1 FROM audit.events")) == 1


async def test_a_record_that_cannot_be_written_fails_its_transaction(here: Any) -> None:
    await here.superuser("ALTER TABLE audit.events ADD CONSTRAINT no_room CHECK (false) NOT VALID")
    with pytest.raises(asyncpg.CheckViolationError):
        async with here.services.db.tenant("t1") as tx:
            await here.service.log.append(tx, here.event())


async def test_committed_records_are_sealed_in_order_and_verify(here: Any) -> None:
    await here.write("t1", 5)
    await here.write("t2", 3)
    before = await here.verify()
    await here.seal()
    after = await here.verify()
    assert (before["valid"], before["checked"], before["unsealed"]) == (True, 0, 8)
    assert (after["valid"], after["checked"], after["unsealed"], after["first_bad"]) == (True, 8, 0, None)
    assert [seq for seq, _ in await places(here, "t1")] == list(range(5))
    assert await places(here, "t1") == sorted(await places(here, "t1"), key=lambda place: place[1])


async def test_many_batches_make_one_tree_with_its_stored_subtrees(here: Any) -> None:
    async with here.services.db.tenant("t1") as tx:
        for _ in range(600):
            await here.service.log.append(tx, here.event())
    await here.seal()
    leaves = await here.look("SELECT leaf FROM audit.seals ORDER BY seq")
    tree = Frontier()
    nodes = [node for row in leaves for node in tree.add(row["leaf"])]
    stored = await here.look("SELECT level, place, hash FROM audit.nodes ORDER BY level, place")
    assert len(leaves) == 600
    assert [tuple(row) for row in stored] == nodes
    assert len(nodes) == 2
    assert (await here.verify())["valid"]


async def test_a_slow_transaction_with_a_lower_id_gets_a_later_place(here: Any) -> None:
    async with here.services.db.tenant("t1") as slow:
        await here.service.log.append(slow, here.event(resource_id="slow"))
        await here.write("t1", 3)
        await here.seal()  # does not wait for the slow one
        assert len(await places(here, "t1")) == 3
        await here.write("t1", 1)
        await here.seal()
    await here.seal()
    order = await places(here, "t1")
    assert [seq for seq, _ in order] == [0, 1, 2, 3, 4]
    assert order[-1][1] == min(event_id for _, event_id in order)
    assert (await here.verify())["valid"]


async def test_parallel_writers_that_roll_back_and_two_sealers_make_no_fork_and_no_gap(start: Any) -> None:
    async with start() as here, start() as elsewhere:
        chance = random.Random(7)
        done = asyncio.Event()

        async def writer(process: Any, number: int) -> int:
            kept = 0
            for _ in range(EACH):
                try:
                    async with process.services.db.tenant(f"t{number % 3}") as tx:
                        await process.service.log.append(tx, process.event())
                        await asyncio.sleep(chance.random() * 0.005)
                        if chance.random() < 0.3:
                            raise RuntimeError
                        kept += 1
                except RuntimeError:
                    pass
            return kept

        async def sealer(process: Any) -> None:
            while not done.is_set():
                await process.seal()
                await asyncio.sleep(0.01)

        sealers = [asyncio.create_task(sealer(p)) for p in (here, elsewhere)]
        kept = sum(await asyncio.gather(*(writer((here, elsewhere)[n % 2], n) for n in range(WRITERS))))
        done.set()
        await asyncio.gather(*sealers)
        await here.seal()
        await elsewhere.seal()
        for tenant in ("t0", "t1", "t2"):
            order = await places(here, tenant)
            assert [seq for seq, _ in order] == list(range(len(order)))
            assert len({event_id for _, event_id in order}) == len(order)
        found = await here.verify()
    assert (found["valid"], found["checked"], found["unsealed"]) == (True, kept, 0)


async def test_what_a_dead_writer_left_is_found_and_sealed(start: Any) -> None:
    async with start() as died:
        await died.write("t1", 2)
        died.service.sealer._dirty.clear()  # as after kill -9: nobody remembers
        async with start() as here:
            await here.seal()
            assert await places(here, "t1") == []
            await here.service.sealer.sweep()
            await here.seal()
            assert len(await places(here, "t1")) == 2
            await here.service.sealer.sweep()
            assert here.service.sealer._dirty == set()
            assert (await here.verify())["valid"]


async def test_a_process_seals_what_it_wrote_before_it_ends(start: Any) -> None:
    async with start() as here:
        await here.write("t1", 3)
    async with start() as here:
        assert len(await places(here, "t1")) == 3


async def test_a_database_moved_to_another_cluster_goes_on_sealing(here: Any) -> None:
    """There transaction ids begin anew: what was sealed below which id says nothing."""
    await here.write("t1", 2)
    await here.seal()
    await here.superuser("UPDATE audit.checkpoints SET low = '4000000000'::xid8")
    await here.superuser("UPDATE audit.events SET xid = '4000000000'::xid8")
    note = (await here.look("SELECT note FROM audit.checkpoints"))[0]["note"]
    statement = here.service._verifier.open(note, "checkpoint", "t1")

    moved = here.service.signer.sign(attrs.evolve(statement, low=4_000_000_000, cluster="1"))
    await here.superuser("UPDATE audit.checkpoints SET cluster = '1', note = $1", moved)
    await here.write("t1", 2)
    here.service.sealer._dirty.clear()
    await here.service.sealer.sweep()
    await here.seal()
    assert [seq for seq, _ in await places(here, "t1")] == [0, 1, 2, 3]


async def test_the_application_role_can_only_add(here: Any) -> None:
    await here.write("t1")
    await here.seal()
    for sql in (
        "UPDATE audit.events SET outcome = 'failure'",
        "DELETE FROM audit.events",
        "UPDATE audit.seals SET seq = 7",
        "DELETE FROM audit.seals",
        "DELETE FROM audit.nodes",
        "UPDATE audit.checkpoints SET note = ''",
        "DELETE FROM audit.cuts",
        "INSERT INTO audit.cuts VALUES ('t1', 1, '', '')",
        "TRUNCATE audit.events",
        "INSERT INTO audit.events (tenant_id, id, actor_type, event_type, outcome, voucher) OVERRIDING SYSTEM VALUE"
        " VALUES ('t1', 1, 'x', 'x', 'success', decode(repeat('00', 48), 'hex'))",
        "INSERT INTO audit.events (tenant_id, occurred_at, actor_type, event_type, outcome, voucher)"
        " VALUES ('t1', now(), 'x', 'x', 'success', decode(repeat('00', 48), 'hex'))",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with here.services.db.tenant("t1") as tx:
                await tx.execute(sql)
