"""What an operator changes on one server holds on the other within a second: two processes of the installed command."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from installed import Installed, Server
from ragwork_testkit.database import PostgresServer

WITHIN_S = 1.0


def soon(
    server: Server, expected: tuple[int, str | None], method: str, path: str, key: str, body: Any
) -> float:
    """Seconds until ``server`` answers as expected."""
    since = time.monotonic()
    while (found := told(server, method, path, key, body)) != expected:
        assert time.monotonic() - since < 10, found
    return time.monotonic() - since


def told(server: Server, method: str, path: str, key: str, body: Any) -> tuple[int, str | None]:
    """Status and code of one request."""
    status, answer = server.call(method, path, key, body)
    return status, answer["error"]["code"] if isinstance(answer, dict) and "error" in answer else None


# Slow: starts two servers, and waits for what reaches the other.
async def test_switches_plans_policies_and_quotas_reach_the_other_process(
    postgres: PostgresServer, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with postgres.database([]) as fresh:
        settings = {"DATABASE_URL": fresh.admin, "RAGWORK_PROFILE": "test", "LLM_PROVIDER": "fake"}
        ragwork = Installed(data_dir=tmp_path / "d", cwd=tmp_path, settings=settings)
        with ragwork.serving() as one, ragwork.serving() as two:
            operator = str(
                ragwork.json(
                    "keys", "create", "--tenant", "ops", "--role", "admin", "--name", "n", "--platform"
                )["key"]
            )
            admin = ragwork.key()["key"]
            corpus = {"id": "c1", "name": "c1", "provider_config_json": {}}
            assert one.call("POST", "/v1/corpora", admin, corpus)[0] == 201
            run = ("POST", "/v1/run", admin, {"session_id": "s", "corpus_id": "c1", "message": "m"})
            patch = ("PATCH", "/v1/corpora/c1", admin, {"provider_config_json": {}})
            create = ("POST", "/v1/corpora", admin, corpus)
            for server in (one, two):  # both have looked at everything, so both remember it
                assert server.call(*run)[0] == server.call(*patch)[0] == 200
                assert server.call(*create)[0] == 409
            disabled, feature = (503, "FEATURE_TEMPORARILY_DISABLED"), (403, "FEATURE_NOT_ENABLED")
            took = {}

            def operate(path: str, body: Any) -> None:
                status, answer = one.call("PATCH", path, operator, body)
                assert status == 200, answer

            switches, plan, quota = (
                "/v1/admin/rollouts/killswitches",
                "/v1/admin/plans/t1",
                "/v1/admin/quotas/t1",
            )
            for name, path, body, request, expected in (
                ("switch on", switches, {"kill_switches": {"kill.run": True}}, run, disabled),
                ("switch off", switches, {"kill_switches": {"kill.run": False}}, run, (200, None)),
                ("downgrade", plan, {"plan_id": "free"}, patch, feature),
                ("upgrade", plan, {"plan_id": "enterprise"}, patch, (200, None)),
                ("override", f"{plan}/overrides", {"feature_key": "retrieval.local_pgvector", "enabled": False},
                 run, feature),
                ("override back", f"{plan}/overrides", {"feature_key": "retrieval.local_pgvector", "enabled": True},
                 run, (200, None)),
                ("quota", quota, {"daily_requests_limit": 0}, create, (402, "QUOTA_EXCEEDED")),
                ("quota back", quota, {"daily_requests_limit": None}, create, (409, "CONFLICT")),
            ):  # fmt: skip
                operate(path, body)
                took[name] = soon(two, expected, *request)
                assert told(one, *request) == expected, "the process that changed it must know at once"
            policy = {"name": "p", "effect": "deny", "resource_type": "corpus", "action": "write"}
            status, _ = one.call("POST", "/v1/admin/authz/policies", admin, {**policy, "condition_json": {}})
            assert status == 201
            took["policy"] = soon(two, (403, "AUTHZ_DENIED"), *create)
            assert two.stop() == 0
            assert one.stop() == 0
    for name, seconds in took.items():
        record_property(name, round(seconds, 3))
    assert max(took.values()) < WITHIN_S, took
