"""The log on the real platform: its API, its commands, and mutations that can't do without it."""

import asyncio
import base64
import hashlib
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from ragwork_audit.sealing.merkle import extends, included, leaf_hash
from ragwork_audit.sealing.signed_notes import NoteVerifier

PLUGINS = ("audit", "directory", "apikeys", "rbac", "wordllama", "pgvector", "documents")


@pytest.fixture
async def app(platform: Any) -> Any:
    async with platform(plugins=PLUGINS) as running:
        yield running


async def corpus(app: Any, key: str, name: str = "c1") -> Any:
    return await app.call(
        "POST", "/v1/corpora", key, json={"id": name, "name": name, "provider_config_json": {}}
    )


async def events(app: Any, key: str, **params: str) -> list[Any]:
    answer = await app.call("GET", "/v1/audit/events", key, params=params)
    assert answer.status == 200, answer.text
    found: list[Any] = answer.data["items"]
    return found


async def test_a_mutation_leaves_one_record_and_a_denial_leaves_one(app: Any) -> None:
    admin, reader = await app.key(), await app.key(role="reader", user="bob")
    assert (await corpus(app, admin)).status == 201
    assert (await corpus(app, reader, "c2")).status == 403
    created = await events(app, admin, event_type="corpora.created")
    denied = await events(app, admin, event_type="rbac.forbidden")
    assert len(created) == len(denied) == 1
    assert (created[0]["outcome"], created[0]["resource_type"], created[0]["tenant_id"]) == (
        "success",
        "corpus",
        "t1",
    )
    assert (denied[0]["outcome"], denied[0]["actor_role"], denied[0]["error_code"]) == (
        "failure",
        "reader",
        "AUTH_FORBIDDEN",
    )
    assert created[0]["occurred_at"].endswith("+00:00")


async def test_a_mutation_fails_when_its_record_cannot_be_written(app: Any) -> None:
    admin = await app.key()
    connection = await asyncpg.connect(app.database_url)
    await connection.execute("ALTER TABLE audit.events ADD CONSTRAINT no_room CHECK (false) NOT VALID")
    assert (await corpus(app, admin)).status >= 500
    await connection.execute("ALTER TABLE audit.events DROP CONSTRAINT no_room")
    await connection.close()
    assert (await app.call("GET", "/v1/corpora/c1", admin)).status == 404


async def test_events_are_listed_filtered_paged_and_kept_to_their_tenant(app: Any) -> None:
    admin, other = await app.key(), await app.key(tenant="t2")
    for n in range(5):
        await corpus(app, admin, f"c{n}")
    page = await app.call(
        "GET", "/v1/audit/events", admin, params={"limit": "2", "event_type": "corpora.created"}
    )
    assert len(page.data["items"]) == 2
    assert page.data["next_offset"] == 2
    last = await app.call(
        "GET",
        "/v1/audit/events",
        admin,
        params={"limit": "2", "offset": "4", "event_type": "corpora.created"},
    )
    assert (len(last.data["items"]), last.data["next_offset"]) == (1, None)
    assert await events(app, admin, outcome="failure", event_type="corpora.created") == []
    assert await events(app, admin, resource_id="nothing") == []
    event_id = page.data["items"][0]["id"]
    one = await app.call("GET", f"/v1/audit/events/{event_id}", admin)
    assert one.data == page.data["items"][0]
    foreign = await app.call("GET", f"/v1/audit/events/{event_id}", other)
    absent = await app.call("GET", "/v1/audit/events/99999999", other)
    assert (foreign.status, absent.status) == (404, 404)
    for bad in ("0x1", "-1", "9" * 30, "²"):
        assert (await app.call("GET", f"/v1/audit/events/{bad}", admin)).status == 404
    assert (await app.call("GET", "/v1/audit/events", admin, params={"limit": "201"})).status == 422
    assert (await app.call("GET", "/v1/audit/events", admin, params={"outcome": "maybe"})).status == 422
    assert (await app.call("GET", "/v1/audit/events", await app.key(role="editor", user="ed"))).status == 403


async def test_times_filter_from_and_to(app: Any) -> None:
    admin = await app.key()
    await corpus(app, admin)
    assert (
        len(await events(app, admin, **{"from": "2020-01-01T00:00:00+00:00"}, event_type="corpora.created"))
        == 1
    )
    assert await events(app, admin, to="2020-01-01T00:00:00+00:00") == []


async def test_records_are_sealed_within_a_second_and_proved(app: Any) -> None:
    admin = await app.key()
    for n in range(3):
        await corpus(app, admin, f"c{n}")
    listed = await events(app, admin, event_type="corpora.created")
    await asyncio.sleep(1)
    answer = await app.call("GET", f"/v1/audit/events/{listed[-1]['id']}/proof", admin)
    assert answer.status == 200, answer.text
    proof = answer.data
    statement = NoteVerifier([proof["public_key"]]).open(proof["checkpoint"], "checkpoint", "t1")
    leaf = base64.b64decode(proof["leaf_hash"])
    assert (
        leaf
        == leaf_hash(proof["content"].encode())
        == hashlib.sha256(b"\0" + proof["content"].encode()).digest()
    )
    path = [base64.b64decode(h) for h in proof["proof"]]
    assert included(leaf, proof["seq"], statement.size, path, statement.root)

    await corpus(app, admin, "later")
    await asyncio.sleep(1)
    later = await app.call(
        "GET", "/v1/audit/checkpoint", admin, params={"consistent_with": str(statement.size)}
    )
    newer = NoteVerifier([proof["public_key"]]).open(later.data["checkpoint"], "checkpoint", "t1")
    consistency = [base64.b64decode(h) for h in later.data["consistency"]]
    assert newer.size > statement.size
    assert extends(statement.size, newer.size, statement.root, newer.root, consistency)
    wrong = await app.call("GET", "/v1/audit/checkpoint", admin, params={"consistent_with": "999999"})
    assert wrong.status == 422


async def test_the_commands_verify_and_export(app: Any, tmp_path: Path) -> None:
    admin = await app.key()
    await corpus(app, admin)
    await asyncio.sleep(1)
    verdict = (await app.command("audit", "verify")).results[-1]
    assert (verdict["valid"], verdict["first_bad"]) == (True, None)
    assert verdict["checked"] >= 1
    written = (await app.command("audit", "export", tenant="t1", out=str(tmp_path / "t1.jsonl"))).results[-1]
    assert written["records"] >= 1
    assert (await app.command("audit", "public-key")).results[-1]["public_key"].startswith("ragwork-audit+")
    connection = await asyncpg.connect(app.database_url)
    await connection.execute(
        "UPDATE audit.events SET actor_id = 'nobody' WHERE event_type = 'corpora.created'"
    )
    await connection.close()
    with pytest.raises(RuntimeError, match="ended with 1"):
        await app.command("audit", "verify", tenant="t1")
