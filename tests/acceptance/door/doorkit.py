"""The whole assembly as a client meets it, and the eyes of somebody who may read its database."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import asyncpg
import attrs
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import DEFAULT_PLUGINS, DOOR_PLUGINS, DOOR_SETTINGS, Answer, Running, running

ASSEMBLY = (*DEFAULT_PLUGINS, *DOOR_PLUGINS)
#: Limits as they come out of the box.
LIMITED = {**DOOR_SETTINGS, "RATE_LIMIT_ENABLED": "true"}
QUOTA_HEADERS = (
    *(f"X-Quota-{period}-{what}" for period in ("Day", "Month") for what in ("Limit", "Used", "Remaining")),
    "X-Quota-SoftCap-Reached",
    "X-Quota-HardCap-Mode",
)


def opened(
    postgres: PostgresServer, settings: Mapping[str, str] | None = None, **more: Any
) -> AbstractAsyncContextManager[Running]:
    """The assembly over a fresh database; limits only with ``LIMITED``."""
    return running(postgres, more.pop("plugins", ASSEMBLY), {**DOOR_SETTINGS, **(settings or {})}, **more)


@asynccontextmanager
async def looking(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A superuser's connection to what the platform keeps."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


#: Records that say that something is in use, not that it was done.
SAMPLES = ("billing.usage_recorded", "auth.access.success")


@attrs.frozen
class Tenant:
    """A tenant of its own on a running platform, and the operator, who lives in another one."""

    app: Running
    operator: str
    name: str = attrs.field(factory=lambda: f"t-{uuid.uuid4().hex[:8]}")

    @classmethod
    async def of(cls, app: Running) -> "Tenant":
        return cls(app, await app.key("operators", user="op", platform=True))

    async def key(self, role: str = "admin", user: str | None = None) -> str:
        return await self.app.key(self.name, role, user or f"u-{role}")

    async def corpus(self, key: str, corpus_id: str = "c1", **headers: str) -> Answer:
        body = {"id": corpus_id, "name": corpus_id, "provider_config_json": {}}
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.app.call("POST", "/v1/corpora", key, json=body, headers=sent)

    async def document(self, key: str, document_id: str = "d1", **more: Any) -> Answer:
        body = {"corpus_id": "c1", "document_id": document_id, "text": "The gate opens at dawn.", **more}
        return await self.app.call("POST", "/v1/documents/text", key, json=body)

    async def indexed(self, key: str, document_id: str = "d1") -> None:
        """A document that is there to be read."""
        assert (await self.document(key, document_id)).status == 202
        await self.app.ingested(key, document_id)

    async def run(self, key: str, path: str = "/v1/run", **headers: str) -> Answer:
        body = {"session_id": uuid.uuid4().hex, "corpus_id": "c1", "message": "When does the gate open?"}
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.app.call("POST", path, key, json=body, headers=sent)

    # What the operator does to it.
    async def limit(self, **limits: object) -> None:
        await self._operate("PATCH", f"/v1/admin/quotas/{self.name}", limits)

    async def feature(self, feature_key: str, enabled: bool) -> None:
        body = {"feature_key": feature_key, "enabled": enabled}
        await self._operate("PATCH", f"/v1/admin/plans/{self.name}/overrides", body)

    async def plan(self, plan_id: str) -> None:
        await self._operate("PATCH", f"/v1/admin/plans/{self.name}", {"plan_id": plan_id})

    async def kill(self, switch: str, on: bool = True) -> None:
        await self._operate(
            "PATCH", "/v1/admin/rollouts/killswitches", {"kill_switches": {f"kill.{switch}": on}}
        )

    async def _operate(self, method: str, path: str, body: object) -> None:
        answer = await self.app.call(method, path, self.operator, json=body)
        assert answer.status == 200, answer.text

    # What the database says of it.
    async def used(self) -> int:
        """Units charged today."""
        async with looking(self.app.database_url) as db:
            found = await db.fetchval(
                """SELECT used FROM quota.balances
                WHERE tenant_id = $1 AND account = 'requests' AND period = 'day'""",
                self.name,
            )
        return int(found or 0)

    async def events(self, since: int = 0) -> list[Any]:
        """The tenant's audit log, oldest first, without samples of use and what the stage's operator did."""
        async with looking(self.app.database_url) as db:
            return await db.fetch(
                """SELECT id, event_type AS type, outcome, resource_id, error_code, actor_id, metadata
                FROM audit.events WHERE tenant_id = $1 AND id > $2 AND event_type <> ALL ($3::text[])
                AND NOT COALESCE(starts_with(actor_id, 'operator:'), false) ORDER BY id""",
                self.name,
                since,
                SAMPLES,
            )


async def until(true: Callable[[], Awaitable[bool]], within_s: float = 10.0) -> None:
    """Wait until ``true``; fails when it does not come to that."""
    end = time.monotonic() + within_s
    while not await true():
        assert time.monotonic() < end, "it never came to that"
        await asyncio.sleep(0.02)


def verdict(answer: Answer) -> tuple[int, str | None]:
    """Status and code, of an enveloped answer or an unversioned one."""
    if answer.status < 400 or answer.body is None:
        return answer.status, None
    refused = answer.body.get("error") or answer.body["detail"]
    return answer.status, refused["code"] if isinstance(refused, dict) else str(refused)
