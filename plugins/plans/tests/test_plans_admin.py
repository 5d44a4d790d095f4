"""Who may see and change plans, over HTTP."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from ragwork_hooks.plans import Plans

PLUGINS = ("directory", "apikeys", "rbac", "plans")
#: The seed's table: feature → plans that have it.
MATRIX = {
    "feature.retrieval.local_pgvector": {"free", "pro", "enterprise"},
    "feature.retrieval.aws_bedrock": {"enterprise"},
    "feature.retrieval.gcp_vertex": {"pro", "enterprise"},
    "feature.tts": {"pro", "enterprise"},
    "feature.ops_admin_access": {"pro", "enterprise"},
    "feature.audit_access": {"pro", "enterprise"},
    "feature.corpora_patch_provider_config": {"pro", "enterprise"},
    "feature.billing_webhook_test": {"pro", "enterprise"},
    "feature.high_quota_tier": {"enterprise"},
    "feature.identity.sso": {"pro", "enterprise"},
    "feature.identity.scim": {"enterprise"},
    "feature.identity.jit": {"pro", "enterprise"},
    "feature.cost_visibility": {"pro", "enterprise"},
    "feature.cost_controls": {"pro", "enterprise"},
    "feature.chargeback_reports": {"enterprise"},
    "feature.generation.override": {"pro", "enterprise"},
}


@pytest_asyncio.fixture
async def app(platform: Callable[..., Any]) -> AsyncIterator[Any]:
    async with platform(plugins=PLUGINS, settings={"PLAN_DEFAULT": "free"}) as running:
        yield running


def enabled(plan: Any) -> set[str]:
    return {e["feature_key"] for e in plan["entitlements"] if e["enabled"]}


async def test_the_matrix_is_the_seeds(app: Any) -> None:
    answer = await app.call("GET", "/v1/admin/plans", await app.key())
    assert [(p["id"], p["name"], p["is_active"]) for p in answer.data] == [
        ("free", "Free", True), ("pro", "Pro", True), ("enterprise", "Enterprise", True),
    ]  # fmt: skip
    for plan in answer.data:
        found = {f["feature_key"]: f["enabled"] for f in plan["features"]}
        assert found == {key: plan["id"] in plans for key, plans in MATRIX.items()}
        assert {f["config_json"] for f in plan["features"]} == {None}


async def test_a_tenants_admin_reads_its_plan_and_cannot_raise_it(app: Any) -> None:
    admin, reader = await app.key("t1"), await app.key("t1", "reader")
    own = await app.call("GET", "/v1/admin/plans/t1", admin)
    assert (own.data["tenant_id"], own.data["plan_id"], own.data["is_active"]) == ("t1", "free", True)
    assert enabled(own.data) == {"feature.retrieval.local_pgvector"}
    tries = [
        ("/v1/admin/plans/t1", {"plan_id": "enterprise"}),
        ("/v1/admin/plans/t1/overrides", {"feature_key": "feature.tts", "enabled": True}),
    ]
    for key in (admin, reader):
        for path, body in tries:
            refused = await app.call("PATCH", path, key, json=body)
            assert (refused.status, refused.code) == (403, "AUTH_FORBIDDEN")
    assert (await app.call("GET", "/v1/admin/plans/t1", reader)).code == "AUTH_FORBIDDEN"
    assert (await app.call("GET", "/v1/admin/plans/t1", admin)).data == own.data


async def test_another_tenants_plan_needs_platform_scope_whether_it_exists_or_not(app: Any) -> None:
    admin, operator = await app.key("t1"), await app.key("t1", platform=True)
    await app.key("t2")
    answers = [await app.call("GET", f"/v1/admin/plans/{t}", admin) for t in ("t2", "never-seen")]
    assert {(a.status, a.code) for a in answers} == {(403, "AUTH_FORBIDDEN")}
    for tenant in ("t2", "never-seen"):
        answer = await app.call("PATCH", f"/v1/admin/plans/{tenant}", operator, json={"plan_id": "pro"})
        assert (answer.status, answer.data["tenant_id"], answer.data["plan_id"]) == (200, tenant, "pro")
        assert answer.data["effective_from"].endswith("+00:00")
        assert answer.data["effective_to"] is None
        shown = await app.call("GET", f"/v1/admin/plans/{tenant}", operator)
        assert shown.data == answer.data
    own = await app.call("GET", "/v1/admin/plans/t1", admin)
    assert own.data["plan_id"] == "free"


async def test_an_override_sets_what_it_names_and_leaves_the_rest_to_the_plan(app: Any) -> None:
    operator = await app.key("t1", platform=True)
    path = "/v1/admin/plans/t2/overrides"

    async def tts(**body: Any) -> tuple[bool, Any]:
        answer = await app.call("PATCH", path, operator, json={"feature_key": "feature.tts", **body})
        (found,) = [e for e in answer.data["entitlements"] if e["feature_key"] == "feature.tts"]
        return found["enabled"], found["config_json"]

    assert await tts(config_json={"voices": ["nova"]}) == (False, {"voices": ["nova"]})
    assert await tts(enabled=True) == (True, {"voices": ["nova"]})
    assert await tts(config_json={}) == (True, {})
    short = await app.call("PATCH", path, operator, json={"feature_key": "tts", "enabled": False})
    assert "feature.tts" not in enabled(short.data)
    await app.call("PATCH", "/v1/admin/plans/t2", operator, json={"plan_id": "pro"})
    assert "feature.tts" not in enabled((await app.call("GET", "/v1/admin/plans/t2", operator)).data)


@pytest.mark.parametrize(
    ("path", "body", "status", "hint"),
    [
        ("", {"plan_id": "enterprize"}, 404, "enterprise"),
        ("", {"plan_id": "gold"}, 404, "free, pro, enterprise"),
        ("", {"plan_id": ""}, 422, ""),
        ("", {"plan_id": 7}, 422, ""),
        ("", {}, 422, ""),
        ("", {"plan_id": "pro", "is_active": True}, 422, ""),
        ("/overrides", {"feature_key": "feature.tss", "enabled": True}, 422, "feature.tts"),
        ("/overrides", {"feature_key": "tts"}, 422, "enabled, config_json or both"),
        ("/overrides", {"feature_key": "tts", "enabled": "yes"}, 422, ""),
        ("/overrides", {"feature_key": "tts", "config_json": []}, 422, ""),
        ("/overrides", {"feature_key": "tts", "config_json": {"x": "y" * 16_384}}, 422, "16384"),
    ],
)
async def test_bad_changes_are_named_and_change_nothing(
    app: Any, path: str, body: Any, status: int, hint: str
) -> None:
    operator = await app.key("t1", platform=True)
    before = (await app.call("GET", "/v1/admin/plans/t2", operator)).data
    refused = await app.call("PATCH", f"/v1/admin/plans/t2{path}", operator, json=body)
    assert (refused.status, hint in refused.text) == (status, True)
    assert (await app.call("GET", "/v1/admin/plans/t2", operator)).data == before


async def test_keys_create_assigns_the_plan_it_names_and_else_keeps_what_there_is(app: Any) -> None:
    async def made(tenant: str, plan: str | None) -> str:
        await app.command("keys", "create", tenant=tenant, role="admin", name="n", plan=plan)
        subscription = await app.platform.facades["plans"].use(Plans).subscription(tenant)
        return str(subscription.plan_id)

    assert await made("t1", None) == "free"
    assert await made("t1", "pro") == "pro"
    assert await made("t1", None) == "pro"
    assert await made("t3", "enterprise") == "enterprise"
    with pytest.raises(Exception, match="did you mean 'pro'"):
        await made("t4", "por")
    with pytest.raises(Exception, match="there is no tenant 't4'"):
        await app.command("keys", "list", tenant="t4")


async def test_the_default_plan_is_free_beside_a_database_of_ones_own(platform: Callable[..., Any]) -> None:
    async with platform(plugins=PLUGINS) as app:
        assert not app.platform.facades["plans"].embedded
        assert (await app.call("GET", "/v1/admin/plans/t1", await app.key())).data["plan_id"] == "free"
