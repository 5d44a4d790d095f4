"""Key texts are shown once and are nowhere afterwards: not in the database, the log, the metrics, or an answer."""

import base64
import logging
from typing import Any

import asyncpg
import pytest
from doorkit import Tenant, looking, opened
from ragwork_testkit.database import PostgresServer

KEYS = "/v1/self-serve/api-keys"


async def dump(db: "asyncpg.Connection[Any]") -> str:
    """Every row of every table, as text; what is stored as bytes also decoded."""
    tables = await db.fetch(
        """SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
        WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"""
    )
    rows = [row for table in tables for row in await db.fetch(f"SELECT * FROM {table['name']}")]
    assert rows
    values = (value for row in rows for value in row.values() if value is not None)
    return "\n".join(v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values)


async def test_a_self_served_key_is_nowhere_but_in_its_first_answer(
    postgres: PostgresServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with opened(postgres) as app:
        tenant = await Tenant.of(app)
        admin, once = await tenant.key(), {"Idempotency-Key": "once"}
        made = await app.call("POST", KEYS, admin, json={"role": "admin", "name": "n"}, headers=once)
        again = await app.call("POST", KEYS, admin, json={"role": "admin", "name": "n"}, headers=once)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.data == made.data | {"api_key": None}
        key = made.data["api_key"]
        # Careless uses: where a client should never put it, and a key that no longer works.
        careless = {"User-Agent": f"curl {key}", "X-Request-Id": key}
        assert (await app.call("GET", "/v1/corpora", key, headers=careless)).status == 200
        assert (await tenant.corpus(key, "c1", X_Request_Id=key, User_Agent=key)).status == 201
        assert (await app.call("DELETE", f"/v1/corpora/{key}", key, headers=careless)).status == 404
        assert (await app.call("GET", f"/v1/corpora?api_key={key}", None, headers=careless)).status in (
            401,
            422,
        )
        assert (await app.call("GET", f"/v1/explain/{key}", key)).status in (200, 404)
        await app.call("POST", f"{KEYS}/{made.data['key_id']}/revoke", admin)
        assert (await app.call("GET", "/v1/corpora", key, headers=careless)).status == 401

        secret = key.rpartition("_")[2]
        assert len(secret) > 20
        spellings = {
            secret,
            base64.b64encode(key.encode()).decode(),
            key.encode().hex(),
            secret.encode().hex(),
        }
        async with looking(app.database_url) as db:
            kept = await dump(db)
        assert made.data["key_id"] in kept, "the dump would not show it"
        listed = await app.call("GET", "/v1/audit/events", admin, params={"limit": "200"})
        shown = (
            await app.call("GET", KEYS, admin),
            await app.call("GET", "/v1/admin/api-keys", admin),
            await app.call("GET", "/v1/ops/metrics", admin),
            await app.call("GET", "/v1/metrics"),
            listed,
        )
        said = capfd.readouterr()
        places = {
            "database": kept,
            "log records": "\n".join(record.getMessage() for record in caplog.records),
            "output": said.out + said.err,
            **{f"answer {n}": answer.text for n, answer in enumerate(shown)},
        }
        found = [where for where, text in places.items() if any(s in text for s in spellings)]
        assert not found
        assert "selfserve.api_key.created" in listed.text
