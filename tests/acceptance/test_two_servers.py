"""Two servers over one database: one news, one queue; and what a request costs on the wire."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from installed import Installed, Server
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.wire_format import RoundTrips, counted

#: Plugins that refuse nobody and count nothing.
UNLIMITED = "directory,apikeys,rbac,minilm,wordllama,openai,pgvector,documents,extractive,fake,agent"
#: Round trips of a list, of a run up to its first token, and of a whole run, by enabled plugins.
BUDGETS = {"without limits": (UNLIMITED, 1, 3, 5), "every gate on": (None, 1, 4, 7)}
#: Limits that the measuring itself does not reach.
ROOMY = {f"RL_{who}_{what}": "100000" for who in ("KEY_RUN", "TENANT_RUN") for what in ("RPS", "BURST")}


# Slow: starts two servers.
async def test_what_one_server_revokes_the_other_refuses_within_a_second(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    async with postgres.database([]) as fresh:
        ragwork = Installed(data_dir=tmp_path / "d", cwd=tmp_path, settings={"DATABASE_URL": fresh.admin})
        with ragwork.serving() as one, ragwork.serving() as two:
            admin, victim = ragwork.key()["key"], ragwork.key()
            for server in (one, two):
                assert server.call("GET", "/v1/corpora", victim["key"])[0] == 200
            status, answer = one.call("PATCH", f"/v1/admin/api-keys/{victim['id']}", admin, {"revoke": True})
            assert status == 200, answer
            revoked = time.monotonic()
            assert one.call("GET", "/v1/corpora", victim["key"])[0] == 401
            while two.call("GET", "/v1/corpora", victim["key"])[0] != 401:
                assert time.monotonic() - revoked < 1
            assert one.stop() == two.stop() == 0
        # A server on a database of its own leaves no embedded one behind.
        assert not (tmp_path / "d" / "postgres").exists()


async def fewest(trips: RoundTrips, attempt: Callable[[], object], times: int = 6) -> int:
    """The least over some attempts: probes in the background only ever add."""
    found = []
    for _ in range(times):
        trips.reset()
        await asyncio.to_thread(attempt)
        await asyncio.sleep(0.05)
        found.append(trips.count)
    return min(found)


# Slow: starts a server for each set of gates.
@pytest.mark.timeout(120)
@pytest.mark.parametrize("limits", BUDGETS)
async def test_a_request_stays_within_its_round_trips(
    postgres: PostgresServer, tmp_path: Path, record_property: Callable[[str, object], None], limits: str
) -> None:
    plugins, most_listed, most_first, most_whole = BUDGETS[limits]
    async with postgres.database([]) as fresh, counted(fresh.admin) as trips:
        settings = {"DATABASE_URL": trips.dsn, "LLM_PROVIDER": "fake", "RAGWORK_PROFILE": "test"}
        settings |= (
            {**ROOMY, "PLAN_DEFAULT": "enterprise"} if plugins is None else {"RAGWORK_PLUGINS": plugins}
        )
        ragwork = Installed(data_dir=tmp_path / "d", cwd=tmp_path, settings=settings)

        def started() -> tuple[Server, str]:
            assert ragwork.run("seed", "--tenant", "t1").returncode == 0
            return running.__enter__(), ragwork.key()["key"]

        running = ragwork.serving()
        server, key = await asyncio.to_thread(started)
        try:
            for n in range(3):
                await asyncio.to_thread(server.ask, key, "What is a gate?", session=f"warm-{n}")
            listed = await fewest(trips, lambda: server.call("GET", "/v1/corpora", key))
            new = iter(range(1000))
            whole = await fewest(
                trips, lambda: server.ask(key, "What is a gate?", session=f"whole-{next(new)}")
            )
            first = min([await until_first_token(server, key, trips, f"first-{n}") for n in range(6)])
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)
    for name, count in (("GET /v1/corpora", listed), ("run, first token", first), ("run, whole", whole)):
        record_property(f"round trips of {name}", count)
        print(f"round trips of {name}: {count}")
    assert listed <= most_listed
    assert first <= most_first
    assert whole <= most_whole


async def until_first_token(server: Server, key: str, trips: RoundTrips, session: str) -> int:
    trips.reset()
    count = -1
    async for event in server.events(key, "What is a gate?", session=session):
        if event["type"] == "token.delta" and count < 0:
            count = trips.count
    await asyncio.sleep(0.05)
    return count
