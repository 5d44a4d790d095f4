"""A whole session, played by a script: the audit log has one event for each change and each refusal, and no other."""

import asyncio
from collections import Counter
from typing import Any

import attrs
from doorkit import SAMPLES, Tenant, looking, opened, verdict
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import Answer


@attrs.define
class Script:
    """Sends requests and notes what each must leave behind."""

    tenant: Tenant
    expected: list[tuple[str, str, str | None]] = attrs.field(factory=list)

    async def send(
        self, method: str, path: str, key: str | None, status: int, event: str | None = None, **more: Any
    ) -> Answer:
        answer = await self.tenant.app.call(method, path, key, **more)
        assert answer.status == status, (method, path, answer.text)
        if event:
            self.expected.append((event, "failure" if status >= 400 else "success", verdict(answer)[1]))
        return answer


async def test_a_session_leaves_exactly_its_changes_and_refusals(postgres: PostgresServer) -> None:
    async with opened(postgres) as app:
        tenant = await Tenant.of(app)
        admin, editor = await tenant.key("admin", "ann"), await tenant.key("editor", "ed")
        reader, script = await tenant.key("reader", "rea"), Script(tenant)
        do, t = script.send, tenant.name
        corpus = {"id": "c1", "name": "c1", "provider_config_json": {}}
        text = {"corpus_id": "c1", "document_id": "d1", "text": "The gate opens at dawn."}
        once = {"headers": {"Idempotency-Key": "once"}}

        # Changes, each once however often it is asked for.
        for _ in range(3):
            await do("POST", "/v1/corpora", admin, 201, None, json=corpus, **once)
        script.expected.append(("corpora.created", "success", None))
        await do("PATCH", "/v1/corpora/c1", editor, 200, "corpora.updated", json={"name": "new"})
        await do("PATCH", "/corpora/c1", editor, 200, "corpora.updated", json={"name": "newer"})
        await do("POST", "/v1/documents/text", editor, 202, "documents.ingest.enqueued", json=text)
        granted = await do(
            "POST", "/v1/admin/authz/documents/d1/permissions", admin, 201, "authz.permission.granted",
            json={"principal_type": "user", "principal_id": "rea", "permission": "read"},
        )  # fmt: skip
        policy = await do(
            "POST", "/v1/admin/authz/policies", admin, 201, "authz.policy.created",
            json={"name": "p", "effect": "deny", "resource_type": "corpus", "action": "delete",
                  "condition_json": {}},
        )  # fmt: skip
        script.expected.append(("auth.api_key.created", "success", None))
        made = await do(
            "POST",
            "/v1/self-serve/api-keys",
            admin,
            200,
            "selfserve.api_key.created",
            json={"role": "reader"},
        )
        script.expected.append(("auth.api_key.revoked", "success", None))
        await do(
            "POST", f"/v1/self-serve/api-keys/{made.data['key_id']}/revoke", admin, 200,
            "selfserve.api_key.revoked",
        )  # fmt: skip
        await do(
            "POST", "/v1/self-serve/plan/upgrade-request", admin, 202, "plan.upgrade_requested",
            json={"target_plan": "pro"},
        )  # fmt: skip
        run = {"session_id": "s1", "corpus_id": "c1", "message": "When?"}
        await do("POST", "/v1/run", reader, 200, "run.invoked", json=run)
        await do("DELETE", "/v1/sessions/s1", reader, 204, "sessions.deleted")

        # What changes nothing leaves nothing.
        await do("GET", "/v1/corpora", reader, 200)
        await do("GET", "/v1/documents/none", editor, 404)
        await do("POST", "/v1/corpora", admin, 409, None, json=corpus)
        await do("POST", "/v1/corpora", admin, 422, None, json={"id": 1})
        await do("POST", "/v1/corpora", admin, 409, None, json={**corpus, "id": "c9"}, **once)

        # Refusals, each recorded before its answer.
        await do("POST", "/v1/corpora", reader, 403, "rbac.forbidden", json=corpus)
        await do("GET", "/v1/documents/d1", await tenant.key("reader", "bob"), 403, "authz.access.denied")
        await do("DELETE", "/v1/corpora/c1", admin, 403, "authz.policy.denied")
        await do("GET", "/v1/admin/quotas/another", admin, 403, "rbac.forbidden")
        await do("GET", "/v1/admin/rollouts/canary", admin, 403, "rbac.forbidden")
        await do("GET", "/v1/corpora", made.data["api_key"], 401, "auth.access.failure")
        await tenant.feature("corpora_patch_provider_config", False)
        script.expected.append(("plan.override.updated", "success", None))
        body = {"provider_config_json": {}}
        await do("PATCH", "/v1/corpora/c1", editor, 403, "authz.access.denied", json=body)
        await tenant.limit(daily_requests_limit=0)
        script.expected.append(("quota.limits.updated", "success", None))
        await do("POST", "/v1/documents/text", editor, 402, "quota.hard_cap_blocked", json=text)
        await do("POST", "/v1/run", reader, 402, "quota.hard_cap_blocked", json=run)
        await tenant.limit(daily_requests_limit=None)
        script.expected.append(("quota.limits.updated", "success", None))

        # And things taken back.
        await do(
            "DELETE", f"/v1/admin/authz/documents/d1/permissions/{granted.data['id']}", admin, 200,
            "authz.permission.revoked",
        )  # fmt: skip
        await do(
            "POST",
            f"/v1/admin/authz/policies/{policy.data['id']}/disable",
            admin,
            200,
            "authz.policy.disabled",
        )
        await do("DELETE", "/v1/documents/d1", editor, 204, "documents.deleted")
        await do("DELETE", "/v1/corpora/c1", admin, 204, "corpora.deleted")

        found = [(e["type"], e["outcome"], e["error_code"]) for e in await tenant.events()]
        assert Counter(found) == Counter(script.expected)
        assert found == script.expected, "each, but not in the order in which it happened"
        listed = await app.call("GET", "/v1/audit/events", admin, params={"tenant_id": t, "limit": "200"})
        shown = [
            e
            for e in listed.data["items"]
            if e["event_type"] not in SAMPLES and not str(e["actor_id"]).startswith("operator:")
        ]
        assert [e["event_type"] for e in reversed(shown)] == [event for event, *_ in script.expected]


async def test_an_unknown_caller_is_recorded_for_the_platform_and_in_no_tenant(
    postgres: PostgresServer,
) -> None:
    async with opened(postgres) as app:
        tenant = await Tenant.of(app)
        await tenant.key()
        assert (await app.call("GET", "/v1/corpora")).status == 401
        assert (await app.call("GET", "/v1/corpora", "nrgk_x_y")).status == 401
        assert await tenant.events() == []
        async with looking(app.database_url) as db:
            rows = await db.fetch(
                "SELECT event_type, actor_type, metadata FROM audit.events WHERE tenant_id = 'ragwork.platform'"
            )
        # The second came within the same second from the same address: it is owed to the next record.
        assert [(r["event_type"], r["actor_type"]) for r in rows] == [("auth.access.failure", "anonymous")]


async def test_one_change_raced_by_twenty_is_recorded_once(postgres: PostgresServer) -> None:
    async with opened(postgres) as app:
        tenant = await Tenant.of(app)
        key = await tenant.key()
        answers = await asyncio.gather(*(tenant.corpus(key, "same") for _ in range(20)))
        assert Counter(a.status for a in answers) == {201: 1, 409: 19}
        assert [(e["type"], e["resource_id"]) for e in await tenant.events()] == [("corpora.created", "same")]
        # A loser's charge went with its transaction.
        assert await tenant.used() == 1


async def test_what_a_record_says_is_what_the_server_saw(postgres: PostgresServer) -> None:
    async with opened(postgres) as app:
        tenant = await Tenant.of(app)
        key = await tenant.key("editor", "ed")
        answer = await tenant.corpus(
            key, "c1", X_Request_Id="mine", X_Forwarded_For="203.0.113.9", User_Agent="a" * 5000
        )
        assert answer.headers["X-Request-Id"] == "mine"
        async with looking(app.database_url) as db:
            row = await db.fetchrow(
                "SELECT * FROM audit.events WHERE tenant_id = $1 ORDER BY id DESC", tenant.name
            )
        assert row is not None
        assert row["request_id"] != "mine"
        assert row["client_request_id"] == "mine"
        assert (str(row["ip_address"]), len(row["user_agent"])) == ("127.0.0.1", 256)
        assert (row["actor_type"], row["actor_role"], row["resource_id"]) == ("api_key", "editor", "c1")
