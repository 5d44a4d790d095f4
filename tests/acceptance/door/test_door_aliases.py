"""Unversioned paths pass the same gates, draw from the same buckets and leave the same records as ``/v1``."""

from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio
from doorkit import LIMITED, Tenant, opened, verdict
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import Answer, Running

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(postgres: PostgresServer) -> AsyncIterator[Running]:
    async with opened(postgres) as running:
        yield running


async def everything(tenant: Tenant, prefix: str, key: str | None) -> Sequence[Answer]:
    """One request to each kind of aliased route that changes nothing when it is repeated."""
    app = tenant.app
    text = {"corpus_id": "none", "document_id": "d1", "text": "x"}
    config = {"name": "n", "provider_config_json": {}}
    return [
        await app.call("GET", f"{prefix}/corpora", key),
        await app.call("GET", f"{prefix}/corpora/none", key),
        await app.call("PATCH", f"{prefix}/corpora/c1", key, json=config),
        await app.call("GET", f"{prefix}/documents/d1", key),
        await app.call("POST", f"{prefix}/documents/text", key, json=text),
        await app.call("POST", f"{prefix}/documents/none/reindex", key),
        await app.call("DELETE", f"{prefix}/documents/none", key),
        await app.call(
            "POST", f"{prefix}/run", key, json={"session_id": "s", "corpus_id": "c1", "message": "m"}
        ),
    ]


async def both(tenant: Tenant, key: str | None) -> list[tuple[int, str | None]]:
    """The verdicts, which are the same on both paths."""
    new = [verdict(answer) for answer in await everything(tenant, "/v1", key)]
    old = await everything(tenant, "", key)
    assert {answer.headers["Deprecation"] for answer in old} == {"true"}
    # What does not decode is answered in the old words, under the same status.
    assert [status for status, _ in map(verdict, old)] == [status for status, _ in new]
    assert [verdict(o) for o in old if o.status != 422] == [v for v in new if v[0] != 422]
    return new


async def test_each_obstacle_stands_before_both(app: Running) -> None:
    tenant = await Tenant.of(app)
    owner, stranger = await tenant.key("admin", "ann"), await tenant.key("editor", "bob")
    await tenant.corpus(owner)
    await tenant.document(owner)
    assert await both(tenant, None) == [(401, "AUTH_UNAUTHORIZED")] * 8
    assert (403, "AUTH_FORBIDDEN") in await both(tenant, await tenant.key("reader"))
    assert (403, "AUTHZ_DENIED") in await both(tenant, stranger)
    await tenant.kill("ingest")
    await tenant.kill("run")
    assert (await both(tenant, owner)).count((503, "FEATURE_TEMPORARILY_DISABLED")) == 3
    await tenant.kill("ingest", False)
    await tenant.kill("run", False)
    await tenant.plan("free")
    assert (403, "FEATURE_NOT_ENABLED") in await both(tenant, owner)
    await tenant.plan("enterprise")
    await tenant.limit(daily_requests_limit=0)
    assert (await both(tenant, owner)).count((402, "QUOTA_EXCEEDED")) >= 4


async def test_both_draw_from_one_bucket_and_one_quota(postgres: PostgresServer) -> None:
    async with opened(postgres, {**LIMITED, "RL_KEY_READ_RPS": "0.000001"}) as app:
        tenant = await Tenant.of(app)
        key = await tenant.key()
        answers = [
            await app.call("GET", path, key) for _ in range(15) for path in ("/corpora", "/v1/corpora")
        ]
        assert [a.status for a in answers] == [200] * 20 + [429] * 10
        assert answers[19].headers["X-Quota-Day-Used"] == "20"


async def test_both_leave_the_same_records(app: Running) -> None:
    tenants = [await Tenant.of(app) for _ in range(2)]
    for tenant, prefix in zip(tenants, ("/v1", ""), strict=True):
        owner = await tenant.key("admin", "ann")
        await tenant.corpus(owner)
        await tenant.document(owner)
        for key in (owner, await tenant.key("reader"), await tenant.key("editor", "bob")):
            await everything(tenant, prefix, key)
    new, old = [
        [(e["type"], e["outcome"], e["error_code"]) for e in await tenant.events()] for tenant in tenants
    ]
    assert old == new
    assert len(new) > 10
