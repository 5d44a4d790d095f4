"""One effect per key, whatever races, crashes or spelling do."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from ragwork_hooks.idempotency import FirstTime, IdempotencyClaim, Replayed, StoredReply
from ragwork_idempotency.store import PostgresIdempotencyStore, prune
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import DEFAULT_PLUGINS, Running, running

PLUGINS = (*DEFAULT_PLUGINS, "idempotency")
ROUNDS = 1000 if os.environ.get("RAGWORK_PROVE") else 12


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(postgres: PostgresServer) -> AsyncIterator[Running]:
    async with running(postgres, PLUGINS) as platform:
        yield platform


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def create(served: Running, key: str, idem: str, **body: Any) -> Any:
    sent = {"id": body.get("name", "c"), "name": "n", **body}
    return await served.call("POST", "/v1/corpora", key, json=sent, headers={"Idempotency-Key": idem})


async def test_a_repeated_request_gets_the_same_bytes_and_does_nothing(served: Running) -> None:
    key = await served.key("same")
    first = await create(served, key, "k1")
    again = await create(served, key, "k1")
    assert (first.status, again.status) == (201, 201)
    assert again.text == first.text
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["X-Request-Id"] == first.headers["X-Request-Id"]
    assert "Idempotency-Replayed" not in first.headers
    assert len((await served.call("GET", "/v1/corpora", key)).data) == 1


async def test_twenty_clients_on_one_key_cause_one_effect(served: Running) -> None:
    key = await served.key("swarm")
    for n in range(ROUNDS):
        answers = await asyncio.gather(*(create(served, key, f"r{n}", name=f"c{n}") for _ in range(20)))
        assert {a.status for a in answers} == {201}
        assert len({a.text for a in answers}) == 1
        assert sum("Idempotency-Replayed" not in a.headers for a in answers) == 1
    names = [c["name"] for c in (await served.call("GET", "/v1/corpora", key)).data]
    assert sorted(names) == sorted(f"c{n}" for n in range(ROUNDS))


async def test_another_body_under_the_same_key_is_refused(served: Running) -> None:
    key = await served.key("conflict")
    await create(served, key, "k", name="a")
    refused = await create(served, key, "k", name="b")
    assert (refused.status, refused.code) == (409, "IDEMPOTENCY_KEY_CONFLICT")


async def test_a_key_belongs_to_its_tenant_credential_and_route(served: Running) -> None:
    keys = [await served.key("own-a"), await served.key("own-a"), await served.key("own-b")]
    answers = [await create(served, key, "shared", name=f"n{i}") for i, key in enumerate(keys)]
    assert [a.status for a in answers] == [201, 201, 201]
    assert not any("Idempotency-Replayed" in a.headers for a in answers)
    text = {"corpus_id": answers[0].data["id"], "text": "hello"}
    other = await served.call(
        "POST", "/v1/documents/text", keys[0], json=text, headers={"Idempotency-Key": "shared"}
    )
    assert other.status == 202


async def test_a_refusal_is_not_pinned(served: Running) -> None:
    key = await served.key("retry")
    headers = {"Idempotency-Key": "later"}
    missing = {"corpus_id": "soon", "text": "x"}
    assert (await served.call("POST", "/v1/documents/text", key, json=missing, headers=headers)).status == 404
    assert (await create(served, key, "make", id="soon")).status == 201
    assert (await served.call("POST", "/v1/documents/text", key, json=missing, headers=headers)).status == 202


async def test_a_repeated_deletion_is_answered_although_the_thing_is_gone(served: Running) -> None:
    key = await served.key("gone")
    corpus = (await create(served, key, "make")).data["id"]
    headers = {"Idempotency-Key": "drop"}
    first = await served.call("DELETE", f"/v1/corpora/{corpus}", key, headers=headers)
    again = await served.call("DELETE", f"/v1/corpora/{corpus}", key, headers=headers)
    assert (first.status, again.status) == (204, 204)
    assert (await served.call("DELETE", f"/v1/corpora/{corpus}", key)).status == 404


@pytest.mark.parametrize("idem", ["", "x" * 129, "tab\there", "é"])
async def test_a_key_out_of_bounds_is_refused(served: Running, idem: str) -> None:
    key = await served.key(f"bounds-{len(idem)}")
    refused = await create(served, key, idem)
    assert (refused.status, refused.code) == (400, "IDEMPOTENCY_KEY_INVALID")
    assert (await create(served, key, "x" * 128)).status == 201


async def test_a_legacy_path_takes_no_key(served: Running) -> None:
    key = await served.key("legacy")
    corpus = (await create(served, key, "make")).data["id"]
    headers = {"Idempotency-Key": "k"}
    for name in ("one", "two"):
        patched = await served.call("PATCH", f"/corpora/{corpus}", key, json={"name": name}, headers=headers)
        assert (patched.status, patched.body["name"]) == (200, name)


def claim(key: str = "k", payload: bytes = b"p" * 32) -> IdempotencyClaim:
    return IdempotencyClaim(actor_id="a", method="POST", path="/v1/x", key=key, payload_sha256=payload)


async def test_a_crash_before_the_commit_leaves_no_claim(served: Running) -> None:
    answers = PostgresIdempotencyStore(timedelta(hours=1))
    db = served.platform.parts.db
    with contextlib.suppress(RuntimeError):
        async with db.tenant("crash") as tx:
            assert await answers.claim(tx, claim()) == FirstTime()
            raise RuntimeError("killed")
    async with db.tenant("crash") as tx:
        assert await answers.claim(tx, claim()) == FirstTime()


async def test_an_expired_answer_is_taken_over_once_and_pruned(served: Running) -> None:
    await served.key("ttl")
    answers, db = PostgresIdempotencyStore(timedelta(hours=1)), served.platform.parts.db
    reply = StoredReply(status=201, headers={"A": "b"}, body=b"{}", echo_id="r1")
    async with db.tenant("ttl") as tx:
        await answers.claim(tx, claim())
        await answers.store(tx, claim(), reply)
    async with db.tenant("ttl") as tx:
        assert await answers.claim(tx, claim()) == Replayed(reply)
    await age(served)
    async with db.tenant("ttl") as tx:
        assert await answers.claim(tx, claim()) == FirstTime()
        await answers.store(tx, claim(), reply)
    await age(served)
    assert await prune(served.platform.facades["idempotency"]) >= 1
    assert await prune(served.platform.facades["idempotency"]) == 0


async def age(served: Running) -> None:
    """Let every answer of the tenant expire."""
    connection = await asyncpg.connect(served.database_url)
    await connection.execute(
        "UPDATE idempotency.answers SET expires_at = now() - interval '1 s' WHERE tenant_id = 'ttl'"
    )
    await connection.close()
