"""The order of decisions as clients see it: every obstacle at once, taken away one after the other."""

from doorkit import LIMITED, Tenant, opened, verdict
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import Running

#: A key may do each thing once, and again never.
ONCE = {
    **LIMITED,
    "RL_KEY_RUN_BURST": "3",
    "RL_KEY_MUTATION_BURST": "1",
    "RL_KEY_READ_BURST": "1",
    **{f"RL_KEY_{what}_RPS": "0.000001" for what in ("RUN", "MUTATION", "READ")},
    **{f"RL_TENANT_{what}_BURST": "10000" for what in ("RUN", "MUTATION", "READ")},
    **{f"RL_KEY_OPS_{what}": "10000" for what in ("RPS", "BURST")},
}
UNLIMITED = {"daily_requests_limit": None, "monthly_requests_limit": None}


async def operators(app: Running) -> str:
    """Each act of an operator takes a key of its own here."""
    return await app.key("operators", user="op", platform=True)


async def ready(app: Running) -> Tenant:
    tenant = await Tenant.of(app)
    await tenant.corpus(await tenant.key("admin", "owner"))
    return tenant


async def by_operator(tenant: Tenant) -> Tenant:
    return Tenant(tenant.app, await operators(tenant.app), tenant.name)


async def deny_role(tenant: Tenant, type_: str, action: str) -> str:
    """A policy against it; its id."""
    body = {
        "name": "no", "effect": "deny", "resource_type": type_, "action": action, "condition_json": {},
    }  # fmt: skip
    made = await tenant.app.call("POST", "/v1/admin/authz/policies", await tenant.key(), json=body)
    assert made.status == 201, made.text
    return str(made.data["id"])


async def test_a_run_meets_switch_role_rate_feature_and_quota_in_this_order(postgres: PostgresServer) -> None:
    async with opened(postgres, ONCE) as app:
        tenant = await ready(app)
        drained = await tenant.key("reader")
        assert (await tenant.run(drained)).status == 200
        assert verdict(await tenant.run(drained)) == (429, "RATE_LIMITED")
        await (await by_operator(tenant)).kill("run")
        policy = await deny_role(tenant, "run", "run")
        await (await by_operator(tenant)).feature("retrieval.local_pgvector", False)
        await (await by_operator(tenant)).limit(daily_requests_limit=0)

        assert verdict(await tenant.run("nrgk_nobody_atall")) == (401, "AUTH_UNAUTHORIZED")
        assert verdict(await tenant.run(drained)) == (503, "FEATURE_TEMPORARILY_DISABLED")
        await (await by_operator(tenant)).kill("run", False)
        assert verdict(await tenant.run(drained)) == (403, "AUTHZ_DENIED")
        await (await by_operator(tenant)).limit(**UNLIMITED)
        off = await app.call("POST", f"/v1/admin/authz/policies/{policy}/disable", await tenant.key())
        assert off.status == 200, off.text
        await (await by_operator(tenant)).limit(daily_requests_limit=0)
        assert verdict(await tenant.run(drained)) == (429, "RATE_LIMITED")
        # A refusal for the feature has drawn the only three tokens: another key each time.
        assert verdict(await tenant.run(await tenant.key("reader"))) == (403, "FEATURE_NOT_ENABLED")
        await (await by_operator(tenant)).feature("retrieval.local_pgvector", True)
        assert verdict(await tenant.run(await tenant.key("reader"))) == (402, "QUOTA_EXCEEDED")
        await (await by_operator(tenant)).limit(**UNLIMITED)
        assert (await tenant.run(await tenant.key("reader"))).status == 200


async def test_a_change_meets_role_rate_body_feature_and_quota_in_this_order(
    postgres: PostgresServer,
) -> None:
    async with opened(postgres, ONCE) as app:
        tenant = await ready(app)

        async def patch(key: str, corpus: str = "c1", name: object = "n") -> tuple[int, str | None]:
            body = {"name": name, "provider_config_json": {}}
            return verdict(await app.call("PATCH", f"/v1/corpora/{corpus}", key, json=body))

        drained = await tenant.key("editor")
        assert (await patch(drained))[0] == 200
        await (await by_operator(tenant)).feature("corpora_patch_provider_config", False)
        await (await by_operator(tenant)).limit(monthly_requests_limit=0)

        assert await patch(await tenant.key("reader"), "none", 1) == (403, "AUTH_FORBIDDEN")
        assert await patch(drained, "none", 1) == (429, "RATE_LIMITED")
        assert await patch(await tenant.key("editor"), "none", 1) == (422, "REQUEST_VALIDATION_ERROR")
        assert await patch(await tenant.key("editor"), "none") == (403, "FEATURE_NOT_ENABLED")
        await (await by_operator(tenant)).feature("corpora_patch_provider_config", True)
        assert await patch(await tenant.key("editor")) == (402, "QUOTA_EXCEEDED")
        await (await by_operator(tenant)).limit(**UNLIMITED)
        assert await patch(await tenant.key("editor")) == (200, None)


async def test_documents_are_refused_by_resource_before_quota_for_reads_and_for_writes(
    postgres: PostgresServer,
) -> None:
    async with opened(postgres, ONCE) as app:
        tenant = await ready(app)
        assert (await tenant.document(await tenant.key("editor", "owner"))).status == 202
        await (await by_operator(tenant)).limit(daily_requests_limit=0)
        await (await by_operator(tenant)).kill("ingest")

        async def read(document: str, user: str) -> tuple[int, str | None]:
            return verdict(
                await app.call("GET", f"/v1/documents/{document}", await tenant.key("editor", user))
            )

        async def write(document: str, user: str, role: str = "editor") -> tuple[int, str | None]:
            key = await tenant.key(role, user)
            return verdict(await app.call("POST", f"/v1/documents/{document}/reindex", key))

        assert await write("none", "other", "reader") == (503, "FEATURE_TEMPORARILY_DISABLED")
        await (await by_operator(tenant)).kill("ingest", False)
        assert await write("none", "other", "reader") == (403, "AUTH_FORBIDDEN")
        for act in (read, write):
            assert await act("none", "other") == (404, "NOT_FOUND")
            assert await act("d1", "other") == (403, "AUTHZ_DENIED")
            assert await act("d1", "owner") == (402, "QUOTA_EXCEEDED")


async def test_what_is_refused_earlier_draws_no_token_and_no_unit(postgres: PostgresServer) -> None:
    async with opened(postgres, LIMITED) as app:
        tenant = await ready(app)
        reader, editor = await tenant.key("reader"), await tenant.key("editor")
        fresh = (await tenant.corpus(editor, "first")).headers["RateLimit"]
        used = await tenant.used()
        for _ in range(30):
            assert (await tenant.corpus(reader, "x")).status == 403
        await tenant.kill("ingest")
        for _ in range(30):
            assert (await tenant.document(editor)).status == 503
        after = await app.call("PATCH", "/v1/corpora/none", editor, json={"name": "n"})
        assert after.status == 404
        assert "r=8" in after.headers["RateLimit"] or "r=9" in after.headers["RateLimit"], (
            fresh,
            after.headers,
        )
        assert await tenant.used() == used
