"""Two tenants side by side: what is spent, forbidden or broken in one does not reach the other."""

import asyncio

from doorkit import LIMITED, QUOTA_HEADERS, Tenant, opened, verdict
from ragwork_testkit.database import PostgresServer


async def test_one_tenants_troubles_are_its_own(postgres: PostgresServer) -> None:
    async with opened(postgres, LIMITED) as app:
        noisy, quiet = await Tenant.of(app), await Tenant.of(app)
        theirs, mine = await noisy.key("admin", "ann"), await quiet.key("admin", "ann")
        for tenant, key in ((noisy, theirs), (quiet, mine)):
            # The same names, ids, users and idempotency keys everywhere.
            assert (await tenant.corpus(key, "c1", Idempotency_Key="once")).status == 201
        await noisy.limit(daily_requests_limit=1)
        await noisy.feature("retrieval.local_pgvector", False)
        policy = {"name": "p", "effect": "deny", "resource_type": "*", "action": "read", "condition_json": {}}
        await app.call("POST", "/v1/admin/authz/policies", theirs, json=policy)
        flood = await asyncio.gather(*(app.call("GET", "/v1/corpora", theirs) for _ in range(120)))
        assert 200 not in {a.status for a in flood}

        answer = await app.call("GET", "/v1/corpora", mine)
        assert answer.status == 200
        assert [c["id"] for c in answer.data] == ["c1"]
        assert answer.headers["X-Quota-Day-Limit"] == "unlimited"
        assert answer.headers["X-Quota-Day-Used"] == "2"
        assert answer.headers["RateLimit"].startswith('"read-key";r=19')
        assert (await quiet.run(mine)).status == 200
        events = [e["type"] for e in await quiet.events()]
        assert events == ["corpora.created", "run.invoked"]
        assert {"security.rate_limited", "quota.hard_cap_blocked"} & {e["type"] for e in await noisy.events()}


async def test_a_tenants_admin_cannot_move_its_own_or_anothers_limits(postgres: PostgresServer) -> None:
    async with opened(postgres) as app:
        tenant, other = await Tenant.of(app), await Tenant.of(app)
        admin = await tenant.key()
        await other.corpus(await other.key())
        for target in (tenant.name, other.name, "nobody-at-all"):
            for path, body in (
                (f"/v1/admin/quotas/{target}", {"daily_requests_limit": None}),
                (f"/v1/admin/plans/{target}", {"plan_id": "enterprise"}),
                (f"/v1/admin/plans/{target}/overrides", {"feature_key": "tts", "enabled": True}),
                ("/v1/admin/rollouts/killswitches", {"kill_switches": {"kill.run": True}}),
                ("/v1/admin/rollouts/canary", {"canary_percentages": {"rollout.tts": 0}}),
            ):
                assert verdict(await app.call("PATCH", path, admin, json=body)) == (403, "AUTH_FORBIDDEN"), (
                    path
                )
        for path in ("quotas/{}", "plans/{}", "usage/{}?start=2026-01-01"):
            seen = {
                verdict(await app.call("GET", f"/v1/admin/{path.format(target)}", admin))
                for target in (other.name, "nobody-at-all")
            }
            assert seen == {(403, "AUTH_FORBIDDEN")}, path
        assert [e["type"] for e in await other.events()] == ["corpora.created"]


async def test_hundreds_at_once_are_counted_for_their_own_tenant(postgres: PostgresServer) -> None:
    async with opened(postgres) as app:
        tenants = [await Tenant.of(app) for _ in range(4)]
        keys = [await tenant.key() for tenant in tenants]
        await asyncio.gather(
            *(t.corpus(k, f"c{n}") for n in range(25) for t, k in zip(tenants, keys, strict=True))
        )
        for number, (tenant, key) in enumerate(zip(tenants, keys, strict=True)):
            await asyncio.gather(*(app.call("GET", "/v1/corpora", key) for _ in range(number * 10)))
            answer = await app.call("GET", "/v1/corpora", key)
            told = {name: answer.headers[name] for name in QUOTA_HEADERS}
            assert told["X-Quota-Day-Used"] == str(25 + number * 10 + 1)
            assert len([e for e in await tenant.events() if e["type"] == "corpora.created"]) == 25
