"""Pruning takes the oldest records, never another's, and what stays verifies."""

from typing import Any

import asyncpg
import pytest
from ragwork_audit import pruning
from ragwork_audit.checking import proofs
from ragwork_audit.sealing.merkle import included


async def aged(process: Any, tenant: str, old: int, young: int) -> None:
    """Records of a hundred days ago and of now, sealed as they were written."""
    write = "ALTER TABLE audit.events ALTER COLUMN occurred_at SET DEFAULT clock_timestamp() - interval '{0} days'"
    await process.superuser(write.format(100))
    await process.write(tenant, old)
    await process.seal()
    await process.superuser(write.format(0))
    await process.write(tenant, young)
    await process.seal()


@pytest.mark.parametrize(("old", "young"), [(5, 4), (1, 0), (300, 40)])
async def test_what_is_left_verifies_and_can_still_be_proved(here: Any, old: int, young: int) -> None:
    await aged(here, "t1", old, young)
    await aged(here, "t2", 2, 3)
    assert await here.service.pruning.run() == old + 2
    found = await here.verify()
    assert (found["valid"], found["checked"], found["pruned"]) == (True, young + 3, old + 2)
    await here.write("t1", 3)
    await here.seal()
    assert (await here.verify())["valid"]
    async with here.services.db.tenant("t1", "read") as tx:
        signed = await proofs.checkpoint(tx)
        root = here.service._verifier.open(signed["note"], "checkpoint", "t1").root
        for seq in range(old, old + young + 3):
            leaf = await tx.fetchval("SELECT leaf FROM audit.seals WHERE tenant_id = 't1' AND seq = $1", seq)
            assert included(leaf, seq, signed["size"], await proofs.inclusion(tx, seq, signed["size"]), root)
    assert await here.service.pruning.run() == 0


async def test_pruning_goes_in_steps_and_each_leaves_a_whole_log(
    here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await aged(here, "t1", 23, 2)
    monkeypatch.setattr(pruning, "STEP", 5)
    monkeypatch.setattr(pruning, "_EXPIRED", pruning._EXPIRED.replace("LIMIT 5000", "LIMIT 5"))
    assert await here.service.pruning.run() == 23
    assert (await here.verify())["valid"]


async def test_young_records_stay_whoever_asks(here: Any) -> None:
    await here.write("t1", 2)
    await here.seal()
    with pytest.raises(asyncpg.CheckViolationError):
        async with here.services.db.tenant("t1") as tx:
            await tx.fetchval("SELECT audit.cut(1, '', '')")
    assert await here.service.pruning.run() == 0


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM audit.cuts",
        "UPDATE audit.cuts SET size = 4",
        "UPDATE audit.cuts SET frontier = set_byte(frontier, 3, get_byte(frontier, 3) # 1)",
        "UPDATE audit.cuts SET note = replace(note, '/cut/', '/checkpoint/')",
        "UPDATE audit.cuts SET note = (SELECT note FROM audit.checkpoints LIMIT 1)",
        "DELETE FROM audit.seals WHERE seq < 7",
    ],
)
async def test_a_cut_cannot_be_made_up_moved_or_removed(here: Any, sql: str) -> None:
    await aged(here, "t1", 5, 4)
    await here.service.pruning.run()
    assert (await here.verify())["valid"]
    await here.superuser(sql)
    assert not (await here.verify())["valid"]


async def test_a_log_that_was_tampered_with_keeps_no_other_from_being_pruned(here: Any) -> None:
    await aged(here, "t1", 5, 1)
    await here.service.pruning.run()
    await here.superuser("UPDATE audit.cuts SET note = replace(note, '/cut/', '/checkpoint/')")
    await aged(here, "t2", 3, 1)
    with pytest.raises(RuntimeError, match="1 of 2 tenants failed, the others are done: t1;"):
        await here.service.pruning.run()
    async with here.services.db.tenant("t2", "read") as tx:
        assert await tx.fetchval("SELECT size FROM audit.cuts") == 3
