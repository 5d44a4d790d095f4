"""With the audit log and the replay step: one record an effect, and no secret in either."""

from collections.abc import Callable
from typing import Any

PLUGINS = ("directory", "apikeys", "rbac", "plans", "rollouts", "audit", "idempotency", "selfserve")
KEYS = "/v1/self-serve/api-keys"


async def events(app: Any, operator: str, tenant: str) -> list[tuple[str, str, Any]]:
    answer = await app.call("GET", "/v1/audit/events", operator, params={"tenant_id": tenant, "limit": "100"})
    own = [
        e for e in answer.data["items"] if e["event_type"].startswith(("selfserve.", "plan.", "rollouts."))
    ]
    return [(e["event_type"], e["resource_id"], e["metadata_json"]) for e in reversed(own)]


async def test_each_effect_is_recorded_once_and_a_repeat_shows_no_secret(
    platform: Callable[..., Any],
) -> None:
    async with platform(plugins=PLUGINS, settings={"PLAN_DEFAULT": "enterprise"}) as app:
        operator, repeat = await app.key("t1", platform=True), {"Idempotency-Key": "once"}
        made, again = [
            await app.call("POST", KEYS, operator, json={"role": "reader"}, headers=repeat) for _ in range(2)
        ]
        key_id = made.data["key_id"]
        assert again.data == made.data | {"api_key": None}
        assert again.headers["Idempotency-Replayed"] == "true"
        for _ in range(2):
            await app.call("POST", f"{KEYS}/{key_id}/revoke", operator)
            await app.call("PATCH", "/v1/admin/plans/t1", operator, json={"plan_id": "pro"})
            await app.call(
                "PATCH",
                "/v1/admin/rollouts/killswitches",
                operator,
                json={"kill_switches": {"kill.tts": True}},
            )
        await app.call(
            "PATCH", "/v1/admin/plans/t2/overrides", operator,
            json={"feature_key": "tts", "enabled": True, "config_json": {"voice": "private"}},
        )  # fmt: skip
        for _ in range(2):
            refused = await app.call(
                "PATCH", "/v1/admin/rollouts/canary", operator, json={"canary_percentages": {"no": 1}}
            )
            assert refused.status == 422
        assert await events(app, operator, "t1") == [
            ("selfserve.api_key.created", key_id, {"role": "reader", "expires_in_days": None}),
            ("selfserve.api_key.revoked", key_id, None),
            ("plan.assignment.updated", "t1", {"plan_id": "pro"}),
            ("rollouts.killswitch.updated", "kill.tts", {"kill.tts": True}),
        ]
        (override,) = await events(app, operator, "t2")
        assert override[:2] == ("plan.override.updated", "t2")
        assert override[2]["feature_key"] == "feature.tts"
        assert "private" not in str(override)
        async with app.platform.facades["idempotency"].db.tenant("t1") as tx:
            kept = await tx.fetch("SELECT * FROM idempotency.answers")
        assert kept
        # The secret is the last part; id and prefix are no secret.
        secret = made.data["api_key"].rpartition("_")[2]
        assert not [row for row in kept if secret in str(dict(row))]
