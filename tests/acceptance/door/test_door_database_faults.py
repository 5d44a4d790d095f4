"""The database refuses a record, restarts under load, or the server is killed: no unit, claim or record goes astray."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import aiohttp
import attrs
import pytest
from doorkit import Tenant, looking, opened, until, verdict
from installed import Installed, Server
from ragwork_testkit.database import PostgresServer

CLIENTS, EACH = 8, 12


@pytest.mark.parametrize("revoked", ["INSERT ON audit.events", "USAGE ON SCHEMA audit"])
async def test_what_cannot_be_recorded_does_not_happen_and_reads_go_on(
    postgres: PostgresServer, revoked: str
) -> None:
    async with opened(postgres) as app:
        tenant = await Tenant.of(app)
        admin, reader = await tenant.key(), await tenant.key("reader")
        assert (await tenant.corpus(admin)).status == 201
        used = await tenant.used()
        async with looking(app.database_url) as db:
            await db.execute(f"REVOKE {revoked} FROM ragwork_app")
            refused = [
                await tenant.corpus(admin, "c2", Idempotency_Key="k"),
                await tenant.document(admin),
                await app.call("PATCH", "/v1/corpora/c1", admin, json={"name": "other"}),
                await app.call("POST", "/v1/self-serve/api-keys", admin, json={"role": "reader"}),
                # A denial that can't be recorded is no answer either.
                await tenant.corpus(reader, "c3"),
            ]
            assert [verdict(a) for a in refused] == [(500, "DB_ERROR")] * 5
            # A run is recorded with its question, when its stream has begun.
            asked = {"session_id": "s", "corpus_id": "c1", "message": "When does the gate open?"}
            events = await app.events("/v1/run", admin, asked)
            assert [event.type for event in events] == ["request.accepted", "error", "done"]
            assert events[1].data["code"] == "DB_ERROR"
            assert "audit" not in events[1].data["message"]
            assert not [a for a in refused if "audit" in a.text or "ragwork_app" in a.text]
            listed = await app.call("GET", "/v1/corpora", reader)
            assert [(c["id"], c["name"]) for c in listed.data] == [("c1", "c1")]
            assert (await app.call("GET", "/v1/documents", reader)).data == []
            assert (await app.call("GET", "/v1/ops/health", admin)).status == 200
            kept = await db.fetchrow(
                """SELECT (SELECT count(*) FROM idempotency.answers) AS claims,
                    (SELECT count(*) FROM documents.documents) AS documents,
                    (SELECT count(*) FROM agent.messages) AS messages"""
            )
            assert kept is not None
            assert tuple(kept) == (0, 0, 0)
            await db.execute(f"GRANT {revoked} TO ragwork_app")
        again = await tenant.corpus(admin, "c2", Idempotency_Key="k")
        assert (again.status, again.headers.get("Idempotency-Replayed")) == (201, None)
        # The reads that were answered, and the two corpora: nothing for what failed.
        assert await exactly_used(tenant) == used + 4


async def exactly_used(tenant: Tenant) -> int:
    """Units charged once the process has given back what it had leased."""
    await asyncio.sleep(1.0)
    return await tenant.used()


@attrs.define
class Stubborn:
    """Clients that repeat each request, with its own idempotency key, until it is answered."""

    key: str
    base: Callable[[], str]
    answered: int = 0
    cut: int = 0
    replays: int = 0

    async def insist(self, names: Sequence[str]) -> None:
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {self.key}"}) as session:
            for name in names:
                while not await self._once(session, name):
                    self.cut += 1
                    await asyncio.sleep(0.05)
                self.answered += 1

    async def answers(self, count: int) -> None:
        """Wait until so many have been answered."""

        async def enough() -> bool:
            return self.answered >= count

        await until(enough, 30.0)

    async def _once(self, session: aiohttp.ClientSession, name: str) -> bool:
        body = {"id": name, "name": name, "provider_config_json": {}}
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with session.post(
                self.base() + "/v1/corpora", json=body, headers={"Idempotency-Key": name},
                timeout=aiohttp.ClientTimeout(total=15),
            ) as answer:  # fmt: skip
                text = await answer.text()
                assert answer.status in (201, 409, 500, 503), text
                # 409 only while another attempt with the same key is under way.
                assert answer.status != 409 or "IDEMPOTENCY_KEY_CONFLICT" in text, text
                self.replays += "Idempotency-Replayed" in answer.headers
                return answer.status == 201
        return False


async def nothing_astray(dsn: str, names: Sequence[str]) -> None:
    """Every name was made once, charged once, recorded once and answered from one finished claim."""
    async with looking(dsn) as db:
        made = await db.fetch("SELECT id FROM documents.corpora WHERE tenant_id = 't1'")
        assert sorted(row["id"] for row in made) == sorted(names)
        recorded = await db.fetch(
            "SELECT resource_id FROM audit.events WHERE tenant_id = 't1' AND event_type = 'corpora.created'"
        )
        assert sorted(row["resource_id"] for row in recorded) == sorted(names)
        claims = await db.fetch("SELECT key, status FROM idempotency.answers WHERE tenant_id = 't1'")
        assert sorted((row["key"], row["status"]) for row in claims) == [
            (name, 201) for name in sorted(names)
        ]
        used = await db.fetch("SELECT period, used FROM quota.balances WHERE tenant_id = 't1'")
        assert {row["period"]: int(row["used"]) for row in used} == {"day": len(names), "month": len(names)}
        counted = await db.fetchval("SELECT sum(admitted) FROM quota.requests WHERE tenant_id = 't1'")
        assert counted == len(names)


def batches(round_number: int) -> list[list[str]]:
    return [[f"r{round_number}-{client}-{n}" for n in range(EACH)] for client in range(CLIENTS)]


# Slow: kills servers and starts them again.
@pytest.mark.timeout(120)
async def test_killed_between_charge_and_commit_nothing_is_lost_or_left(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    chance = random.Random(4)
    names: list[str] = []
    async with postgres.database([]) as fresh:
        settings = {"DATABASE_URL": fresh.admin, "RAGWORK_PROFILE": "test"}
        ragwork = Installed(data_dir=tmp_path / "d", cwd=tmp_path, settings=settings)
        serving = ragwork.serving()
        server: Server = await asyncio.to_thread(serving.__enter__)
        clients = Stubborn((await asyncio.to_thread(ragwork.key))["key"], lambda: server.base)
        try:
            for round_number in range(2):
                work = [asyncio.create_task(clients.insist(batch)) for batch in batches(round_number)]
                names += [name for batch in batches(round_number) for name in batch]
                wanted = clients.answered + chance.randint(10, 60)
                await clients.answers(wanted)
                os.kill(server.process.pid, signal.SIGKILL)
                await asyncio.to_thread(serving.__exit__, None, None, None)
                serving = ragwork.serving()
                server = await asyncio.to_thread(serving.__enter__)
                await asyncio.gather(*work)
            await nothing_astray(fresh.admin, names)
        finally:
            await asyncio.to_thread(serving.__exit__, None, None, None)
        assert clients.cut >= 2 * CLIENTS


@pytest.mark.timeout(120)
async def test_a_database_that_restarts_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    own = await PostgresServer.start(tmp_path)
    try:
        async with opened(own) as app:
            tenant = Tenant(app, await app.key("operators", user="op", platform=True), "t1")
            clients = Stubborn(await tenant.key(), lambda: app.base)
            work = [asyncio.create_task(clients.insist(batch)) for batch in batches(0)]
            await clients.answers(CLIENTS * EACH // 3)
            crash(tmp_path)
            down = await app.call("GET", "/v1/corpora", clients.key)
            assert verdict(down) in ((503, "SERVICE_UNAVAILABLE"), (503, "AUTH_UNAVAILABLE")), down.text
            assert (await app.call("GET", "/v1/healthz")).status == 200
            assert await own.server.start() == own.admin
            await asyncio.gather(*work)
            assert clients.cut >= 1
            names = [name for batch in batches(0) for name in batch]
            await asyncio.sleep(1.0)
            await nothing_astray(app.database_url, names)
            assert (await app.call("GET", "/v1/corpora", clients.key)).status == 200
    finally:
        await own.server.stop()


def crash(folder: Path) -> None:
    """Postgres' own immediate shutdown of the server that this test started: no farewell, no checkpoint."""
    (noted,) = folder.rglob("postmaster.pid")
    os.kill(int(noted.read_text().split()[0]), signal.SIGQUIT)
