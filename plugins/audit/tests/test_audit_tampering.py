"""Whoever has every right on the database, and neither key nor anchors, changes nothing unseen."""

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import asyncpg
import pytest

ROUNDS = 600 if os.environ.get("RAGWORK_PROVE") else 40
TABLES = ("events", "seals", "nodes", "checkpoints")


async def filled(process: Any) -> None:
    """Two tenants, several checkpoints, one stored subtree."""
    for tenant, batches in (("t1", (3, 260, 5)), ("t2", (4, 6))):
        for count in batches:
            async with process.services.db.tenant(tenant) as tx:
                for n in range(count):
                    await process.service.log.append(tx, process.event(metadata={"n": n}))
            await process.seal()


class Mutator:
    """Edits one random place of the log inside a transaction; it may drop what the schema would refuse."""

    def __init__(self, connection: Any, chance: random.Random) -> None:
        self._connection, self._chance = connection, chance

    async def mutate(self) -> str:
        table = self._chance.choice(TABLES)
        kind = self._chance.choice(("edit", "edit", "delete", "copy", "move"))
        rows = await self._connection.fetch(f"SELECT ctid::text AS ctid FROM audit.{table}")
        at = self._chance.choice(rows)["ctid"]
        what: str = await getattr(self, f"_{kind}")(table, at)
        return f"{kind} {table}{what}"

    async def _columns(self, table: str) -> list[Any]:
        return await self._connection.fetch(
            "SELECT column_name AS name, data_type AS type FROM information_schema.columns"
            " WHERE table_schema = 'audit' AND table_name = $1 ORDER BY 1",
            table,
        )

    async def _edit(self, table: str, at: str) -> str:
        column = self._chance.choice(await self._columns(table))
        name, kind = column["name"], column["type"]
        other = {
            "text": f"CASE WHEN {name} IS NULL THEN 'x' ELSE overlay({name} placing chr(ascii({name}) + 1) from 1) END",
            "bytea": f"set_byte({name}, 0, (get_byte({name}, 0) + 1) % 256)",
            "timestamp with time zone": f"{name} + interval '1 microsecond'",
            "xid8": f"(({name}::text)::bigint + 1)::text::xid8",
        }.get(kind, f"{name} + 1000")
        if name == "outcome":
            other = "CASE outcome WHEN 'success' THEN 'failure' ELSE 'success' END"
        await self._connection.execute("ALTER TABLE audit.events ALTER COLUMN id DROP IDENTITY IF EXISTS")
        await self._connection.execute(f"UPDATE audit.{table} SET {name} = {other} WHERE ctid = '{at}'::tid")
        return f".{name}"

    async def _delete(self, table: str, at: str) -> str:
        await self._connection.execute(f"DELETE FROM audit.{table} WHERE ctid = '{at}'::tid")
        return ""

    async def _copy(self, table: str, at: str) -> str:
        await self._connection.execute(
            "ALTER TABLE audit.events DROP CONSTRAINT IF EXISTS events_tenant_id_voucher_key"
        )
        await self._connection.execute(
            "ALTER TABLE audit.seals DROP CONSTRAINT IF EXISTS seals_tenant_id_event_id_key"
        )
        await self._connection.execute("ALTER TABLE audit.events ALTER COLUMN id DROP IDENTITY IF EXISTS")
        key = {"events": "id", "seals": "seq", "nodes": "place", "checkpoints": "size"}[table]
        names = [column["name"] for column in await self._columns(table)]
        values = [f"(SELECT max({key}) + 1 FROM audit.{table})" if name == key else name for name in names]
        await self._connection.execute(
            f"INSERT INTO audit.{table} ({', '.join(names)})"
            f" SELECT {', '.join(values)} FROM audit.{table} WHERE ctid = '{at}'::tid"
        )
        return ""

    async def _move(self, table: str, at: str) -> str:
        """To the other tenant."""
        key = {"events": "id", "seals": "seq", "nodes": "place", "checkpoints": "size"}[table]
        await self._connection.execute("ALTER TABLE audit.events ALTER COLUMN id DROP IDENTITY IF EXISTS")
        await self._connection.execute(
            f"UPDATE audit.{table} SET tenant_id = CASE tenant_id WHEN 't1' THEN 't2' ELSE 't1' END,"
            f" {key} = {key} + 100000 WHERE ctid = '{at}'::tid"
        )
        return ""


async def test_every_random_edit_of_rows_places_subtrees_and_checkpoints_is_detected(here: Any) -> None:
    await filled(here)
    assert (await here.verify())["valid"]
    tables = {table: await here.look(f"SELECT * FROM audit.{table}") for table in TABLES}
    assert all(tables.values())
    names = {table: ", ".join(rows[0].keys()) for table, rows in tables.items()}
    connection = await asyncpg.connect(here.admin)
    chance = random.Random(os.environ.get("RAGWORK_PROVE") or 11)
    missed = []
    await connection.execute("CREATE SCHEMA kept")
    for table in TABLES:
        await connection.execute(f"CREATE TABLE kept.{table} AS SELECT * FROM audit.{table}")
    for _ in range(ROUNDS):
        what = await Mutator(connection, chance).mutate()
        if (await here.verify())["valid"]:
            missed.append(what)
        for table in TABLES:
            await connection.execute(f"DELETE FROM audit.{table}")
            await connection.execute(
                f"INSERT INTO audit.{table} ({names[table]}) OVERRIDING SYSTEM VALUE"
                f" SELECT {names[table]} FROM kept.{table}"
            )
    await connection.close()
    assert missed == []
    assert (await here.verify())["valid"]


async def test_the_first_bad_record_is_named(here: Any) -> None:
    await filled(here)
    ids = [
        r["event_id"]
        for r in await here.look("SELECT event_id FROM audit.seals WHERE tenant_id='t1' ORDER BY seq")
    ]
    await here.superuser(
        "UPDATE audit.events SET actor_id = 'nobody' WHERE id = ANY ($1)", [ids[40], ids[100]]
    )
    found = await here.verify()
    assert (found["valid"], found["first_bad"]) == (False, ids[40])
    assert found["checked"] == 40 + 10


CUT_NEWEST = (
    "DELETE FROM audit.events e USING audit.seals s WHERE e.id = s.event_id AND s.tenant_id = 't1' AND s.seq >= {0}",
    "DELETE FROM audit.seals WHERE tenant_id = 't1' AND seq >= {0}",
    "DELETE FROM audit.nodes WHERE tenant_id = 't1' AND (place + 1) << level > {0}",
    "DELETE FROM audit.checkpoints WHERE tenant_id = 't1' AND size > {0}",
)


@pytest.mark.parametrize("keep", [0, 3, 263])
async def test_the_newest_records_cannot_be_cut_with_their_checkpoints(here: Any, keep: int) -> None:
    await filled(here)
    for sql in CUT_NEWEST:
        await here.superuser(sql.format(keep))
    found = await here.verify()
    assert (found["valid"], found["first_bad"]) == (False, f"t1#{keep}")


async def test_a_cut_log_that_grows_again_does_not_verify(here: Any) -> None:
    await filled(here)
    for sql in CUT_NEWEST:
        await here.superuser(sql.format(3))
    await here.write("t1", 300)
    await here.seal()
    assert not (await here.verify())["valid"]


async def test_a_whole_tenant_cannot_disappear(here: Any) -> None:
    await filled(here)
    for table in TABLES:
        await here.superuser(f"DELETE FROM audit.{table} WHERE tenant_id = 't2'")
    found = await here.verify()
    assert (found["valid"], found["first_bad"]) == (False, "t2#0")


async def test_the_unsealed_tail_cannot_be_deleted_or_edited(start: Any, tmp_path: Path) -> None:
    async with start() as died:
        await died.write("t1", 2)
        await died.seal()
        await died.write("t1", 2)
        died.service.sealer._dirty.clear()
        copied = tmp_path / "after-kill"
        shutil.copytree(tmp_path / "audit", copied / "audit")  # what kill -9 leaves
    async with start(folder=copied) as here:
        assert (await here.verify())["unsealed"] == 2
        newest = (await here.look("SELECT max(id) AS id FROM audit.events"))[0]["id"]
        row = (await here.look("SELECT * FROM audit.events WHERE id = $1", newest))[0]
        await here.superuser("DELETE FROM audit.events WHERE id = $1", newest)
        found = await here.verify()
        assert (found["valid"], found["first_bad"]) == (False, newest)
        await here.seal()  # the rest is sealed; the evidence stays, also over restarts
        assert here.services.metrics.counts["audit_tampering_total",] == 1
    async with start(folder=copied) as here:
        found = await here.verify()
        assert (found["valid"], found["first_bad"], found["checked"]) == (False, newest, 3)
        await here.superuser(
            "INSERT INTO audit.events OVERRIDING SYSTEM VALUE SELECT (json_populate_record(NULL::audit.events, $1)).*",
            json.dumps(
                {k: f"\\x{v.hex()}" if isinstance(v, bytes) else v for k, v in row.items()}, default=str
            ),
        )
        assert (await here.verify())["valid"]


@pytest.mark.parametrize(
    "edit", ["occurred_at = occurred_at - interval '1 day'", "actor_id = 'nobody'", "xid = '3'"]
)
async def test_a_record_edited_before_its_seal_is_not_sealed(here: Any, edit: str) -> None:
    await here.write("t1", 3)
    await here.superuser(f"UPDATE audit.events SET {edit} WHERE id = (SELECT max(id) FROM audit.events)")
    assert not (await here.verify())["valid"]
    await here.seal()
    assert len(await here.look("SELECT 1 FROM audit.seals")) == 2
    assert not (await here.verify())["valid"]


async def test_a_record_inserted_by_another_hand_is_never_sealed(here: Any) -> None:
    await here.write("t1", 2)
    await here.seal()
    await here.superuser(
        "INSERT INTO audit.events (tenant_id, actor_type, event_type, outcome, voucher)"
        " SELECT tenant_id, actor_type, 'auth.access.success', outcome,"
        " substr(voucher, 1, 16) || sha256(voucher) FROM audit.events LIMIT 1"
    )
    forged = (await here.look("SELECT max(id) AS id FROM audit.events"))[0]["id"]
    await here.write("t1", 2)
    await here.service.sealer.sweep()
    await here.seal()
    assert len(await here.look("SELECT 1 FROM audit.seals")) == 4
    found = await here.verify()
    assert (found["valid"], found["first_bad"]) == (False, forged)


async def test_many_forged_records_do_not_keep_genuine_ones_from_their_seal(here: Any) -> None:
    await here.write("t1", 1)
    await here.superuser(
        "INSERT INTO audit.events (tenant_id, actor_type, event_type, outcome, voucher)"
        " SELECT 't1', 'x', 'x', 'success', substr(e.voucher, 1, 4) || sha256(n::text::bytea)"
        " || substr(e.voucher, 1, 12)"
        " FROM generate_series(1, 700) n, audit.events e"
    )
    await here.write("t1", 1)
    await here.seal()
    assert len(await here.look("SELECT 1 FROM audit.seals")) == 2


async def test_checkpoints_signed_with_another_key_are_refused(start: Any) -> None:
    async with start() as here:
        await here.write("t1", 2)
    async with start(seed=b"f" * 32) as stranger:
        found = await stranger.verify()
    assert not found["valid"]
    assert "unknown key" in found["reason"]


async def test_a_log_verifies_over_a_rotation_of_its_key(start: Any) -> None:
    async with start() as before:
        await before.write("t1", 2)
        old = before.service.signer.verifier_key
    async with start(seed=b"n" * 32, retired_keys=old) as after:
        await after.write("t1", 2)
        await after.seal()
        found = await after.verify()
    assert (found["valid"], found["checked"]) == (True, 4)


async def test_a_damaged_anchor_is_told_and_a_torn_one_is_not(start: Any, tmp_path: Path) -> None:
    async with start() as here:
        await here.write("t1", 2)
        await here.seal()
        place = next((tmp_path / "audit" / "t1").glob("*.notes"))
        whole = place.read_bytes()
        place.write_bytes(whole + whole[:40])
        assert (await here.verify())["valid"]
        await here.write("t1")
        await here.seal()
        assert (await here.verify())["valid"]
        assert (await here.verify())["anchors"] == 2
        place.write_bytes(whole.replace(b"2\\n", b"3\\n", 1))
        assert not (await here.verify())["valid"]


async def test_anchors_that_cannot_be_written_are_shown_and_made_up_for(here: Any, tmp_path: Path) -> None:
    await here.write("t1", 1)
    folder = tmp_path / "audit" / "t1"
    folder.touch()  # a file where the folder should be
    await here.seal()
    with pytest.raises(OSError, match="anchors"):
        await here.service.probe()
    folder.unlink()
    await here.seal()
    await here.service.probe()
    assert (await here.verify())["anchors"] == 1
