"""Idempotency keys among the other gates: a replay costs nothing, and nobody gets one who may not ask again."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import attrs
import pytest
import pytest_asyncio
from doorkit import Tenant, opened, until, verdict
from ragwork_kernel.base import json_codec
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import Answer, Running

pytestmark = pytest.mark.asyncio(loop_scope="module")
ONCE = {"Idempotency-Key": "once"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(postgres: PostgresServer) -> AsyncIterator[Running]:
    async with opened(postgres) as running:
        yield running


def is_replay(answer: Answer) -> bool:
    return answer.headers.get("Idempotency-Replayed") == "true"


async def test_twenty_race_for_the_last_unit_with_one_key_and_all_are_answered(app: Running) -> None:
    tenant = await Tenant.of(app)
    key = await tenant.key()
    await tenant.corpus(key, "first")
    await tenant.limit(daily_requests_limit=2)
    answers = await asyncio.gather(*(tenant.corpus(key, "c1", Idempotency_Key="once") for _ in range(20)))
    assert Counter((a.status, is_replay(a)) for a in answers) == {(201, False): 1, (201, True): 19}
    assert len({a.text for a in answers}) == len({a.headers["X-Request-Id"] for a in answers}) == 1
    assert {a.headers["X-Quota-Day-Remaining"] for a in answers} == {"0"}
    assert await tenant.used() == 2
    # The quota is gone: what was done is still answered, what is new is not.
    assert is_replay(await tenant.corpus(key, "c1", Idempotency_Key="once"))
    assert verdict(await tenant.corpus(key, "c2", Idempotency_Key="other")) == (402, "QUOTA_EXCEEDED")
    assert [e["type"] for e in await tenant.events()].count("corpora.created") == 2


async def test_two_hundred_race_for_ten_units_and_ten_get_one(app: Running) -> None:
    tenant = await Tenant.of(app)
    key = await tenant.key()
    await tenant.limit(monthly_requests_limit=10)
    keyed = [tenant.corpus(key, f"c{n // 2}", Idempotency_Key=f"k{n // 2}") for n in range(100)]
    plain = [tenant.corpus(key, f"p{n}") for n in range(100)]
    answers = await asyncio.gather(*keyed, *plain)
    made = [a for a in answers if a.status == 201 and not is_replay(a)]
    assert len(made) == 10
    assert {a.status for a in answers} == {201, 402}
    assert await tenant.used() == 10
    assert [e["type"] for e in await tenant.events()].count("corpora.created") == 10


async def test_a_refused_attempt_is_not_the_answer_for_ever(app: Running) -> None:
    tenant = await Tenant.of(app)
    key, editor = await tenant.key(), await tenant.key("editor", "ed")
    await tenant.corpus(key)
    await tenant.limit(daily_requests_limit=0)
    assert (await tenant.corpus(key, "c2", Idempotency_Key="k")).status == 402
    await tenant.limit(daily_requests_limit=None)
    await tenant.kill("ingest")
    text = {"corpus_id": "c1", "document_id": "d1", "text": "x"}

    async def ingest() -> Answer:
        return await app.call("POST", "/v1/documents/text", editor, json=text, headers=ONCE)

    assert (await ingest()).status == 503
    await tenant.kill("ingest", False)
    for answer in (await tenant.corpus(key, "c2", Idempotency_Key="k"), await ingest()):
        assert answer.status in (201, 202)
        assert not is_replay(answer)


async def test_rights_that_went_take_their_replays_along(app: Running) -> None:
    tenant = await Tenant.of(app)
    admin, editor = await tenant.key("admin", "ann"), await tenant.key("editor", "ed")
    await tenant.corpus(admin)

    async def ingest() -> Answer:
        body = {"corpus_id": "c1", "document_id": "d1", "text": "x"}
        return await app.call("POST", "/v1/documents/text", editor, json=body, headers=ONCE)

    async def patch() -> Answer:
        body = {"name": "n", "provider_config_json": {}}
        return await app.call("PATCH", "/v1/corpora/c1", editor, json=body, headers=ONCE)

    assert (await ingest()).status == 202
    assert (await patch()).status == 200
    assert is_replay(await ingest())
    assert is_replay(await patch())

    await tenant.kill("ingest")
    assert verdict(await ingest()) == (503, "FEATURE_TEMPORARILY_DISABLED")
    await tenant.kill("ingest", False)
    await tenant.feature("corpora_patch_provider_config", False)
    assert verdict(await patch()) == (403, "FEATURE_NOT_ENABLED")
    await tenant.feature("corpora_patch_provider_config", True)
    policy = {"name": "p", "effect": "deny", "resource_type": "corpus", "action": "*", "condition_json": {}}
    no = await app.call("POST", "/v1/admin/authz/policies", admin, json=policy)
    assert no.status == 201, no.text
    assert verdict(await patch()) == (403, "AUTHZ_DENIED")
    await app.call("POST", f"/v1/admin/authz/policies/{no.data['id']}/disable", admin)
    assert is_replay(await patch())
    assert is_replay(await ingest())

    keys = await app.call("GET", "/v1/admin/api-keys", admin)
    own = next(k for k in keys.data["items"] if editor.startswith(k["key_prefix"]))
    await app.call("PATCH", f"/v1/admin/api-keys/{own['key_id']}", admin, json={"revoke": True})
    assert verdict(await ingest()) == (401, "AUTH_REVOKED_KEY")


async def test_a_grant_taken_back_takes_the_replay_and_a_new_owners_document_is_not_shown(
    app: Running,
) -> None:
    tenant = await Tenant.of(app)
    owner, other = await tenant.key("admin", "ann"), await tenant.key("editor", "bob")
    await tenant.corpus(owner)
    await tenant.indexed(owner)
    grants = "/v1/admin/authz/documents/d1/permissions"
    given = [
        await app.call(
            "POST", grants, owner,
            json={"principal_type": "user", "principal_id": "bob", "permission": permission},
        )
        for permission in ("reindex", "delete")
    ]  # fmt: skip
    assert [g.status for g in given] == [201, 201]

    async def reindex() -> Answer:
        return await app.call("POST", "/v1/documents/d1/reindex", other, headers=ONCE)

    async def delete() -> Answer:
        return await app.call("DELETE", "/v1/documents/d1", other, headers=ONCE)

    assert (await reindex()).status == 202
    assert is_replay(await reindex())
    await app.call("DELETE", f"{grants}/{given[0].data['id']}", owner)
    assert verdict(await reindex()) == (403, "AUTHZ_DENIED")

    async def deleted() -> bool:
        return (await delete()).status == 204  # 409 while the second indexing goes on

    await until(deleted)
    again = await delete()
    assert (again.status, is_replay(again), again.text) == (204, True, "")
    # The same name, another document, no grant: the old answer must not vouch for it.
    assert (await tenant.document(owner)).status == 202
    assert verdict(await delete()) == (403, "AUTHZ_DENIED")
    assert (await app.call("GET", "/v1/documents/d1", owner)).status == 200


async def test_a_key_is_its_callers_its_tenants_and_its_routes_own(app: Running) -> None:
    one, two = await Tenant.of(app), await Tenant.of(app)
    first, second = await one.key("admin", "ann"), await one.key("admin", "bob")
    assert (await one.corpus(first, "c1", Idempotency_Key="once")).status == 201
    assert verdict(await one.corpus(second, "c1", Idempotency_Key="once")) == (409, "CONFLICT")
    assert (await one.corpus(second, "c2", Idempotency_Key="once")).status == 201
    other = await two.corpus(await two.key(), "c3", Idempotency_Key="once")
    assert (other.status, is_replay(other)) == (201, False)
    elsewhere = await app.call("PATCH", "/v1/corpora/c1", first, json={"name": "n"}, headers=ONCE)
    assert (elsewhere.status, is_replay(elsewhere)) == (200, False)
    assert verdict(await one.corpus(first, "c9", Idempotency_Key="once")) == (409, "IDEMPOTENCY_KEY_CONFLICT")


async def test_an_operators_work_on_another_tenant_costs_nothing_and_is_replayed(app: Running) -> None:
    operators = Tenant(app, "", f"ops-{id(app)}")
    operator = await app.key(operators.name, user="op", platform=True)
    tenant = Tenant(app, operator)

    async def patch() -> Answer:
        body = {"daily_requests_limit": 7}
        return await app.call("PATCH", f"/v1/admin/quotas/{tenant.name}", operator, json=body, headers=ONCE)

    assert not is_replay(await patch())
    for _ in range(3):
        assert is_replay(await patch())

    assert await operators.used() == 0
    assert [e["type"] for e in await tenant.events()] == ["quota.limits.updated"]


@pytest.mark.parametrize("path", ["/corpora", "/documents/text"])
async def test_an_unversioned_path_takes_no_key_and_does_the_work_each_time(app: Running, path: str) -> None:
    tenant = await Tenant.of(app)
    key = await tenant.key()
    await tenant.corpus(key)
    body = {"corpus_id": "c1", "document_id": "d1", "text": "x"}
    if path == "/documents/text":
        first = await app.call("POST", path, key, json=body, headers=ONCE)
        second = await app.call("POST", path, key, json={**body, "document_id": "d2"}, headers=ONCE)
        assert (first.status, second.status) == (202, 202)
        assert not is_replay(second)
    else:
        assert (await app.call("GET", path, key, headers=ONCE)).status == 200


async def test_every_body_that_a_key_may_guard_can_be_hashed(app: Running) -> None:
    """A default that has no JSON form made each keyed request to its route fail."""
    for route in app.platform.routes:
        if route.idempotency != "none" and attrs.has(route.body):
            for field in attrs.fields(route.body):
                if field.default is not attrs.NOTHING and not isinstance(field.default, attrs.Factory):
                    assert json_codec.dumps(field.default), f"{route.name}: {field.name}"
