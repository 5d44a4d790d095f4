"""Every kind of credential is made over its real route, used carelessly, and found nowhere afterwards."""

import base64
import logging
import uuid
from typing import Any

import asyncpg
import pytest
from ragwork_hooks.audit import AuditEvent, AuditLog
from ragwork_kernel.base.telemetry import JsonFormatter, teach_logging
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import ALL_PLUGINS, DOOR_SETTINGS, Running, running

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ALL = 'package oculus.authz\ndefault allow = false\nallow { input.subject.status == "active" }\n'
SETTINGS = {
    **DOOR_SETTINGS,
    "METRICS_TOKEN": "an-operators-own-words-4711",
    "BILLING_WEBHOOK_SECRET": "another-secret-of-the-operator-0815",
}
ELSEWHERE = {
    "an OpenAI key": "sk-proj-" + "a1B2c3D4e5F6g7H8" * 2,
    "a webhook secret": "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "a password in an address": "postgresql://ragwork:hunter2-hunter2@db:5432/x",
    "a Basic header": "Basic " + base64.b64encode(b"agt_1:hunter2-hunter2").decode(),
    "a configured value": SETTINGS["METRICS_TOKEN"],
    "another configured value": SETTINGS["BILLING_WEBHOOK_SECRET"],
}


async def minted(app: Running, admin: str) -> dict[str, str]:
    """One of each kind, over the routes that make them."""

    async def post(path: str, body: Any = None, key: str | None = admin, **more: Any) -> Any:
        answer = await app.call("POST", path, key, json=body, **more)
        assert answer.status in (200, 201), (path, answer.text)
        return answer.body.get("data", answer.body)

    policy = await post("/api/v1/policies", {"name": "all", "content": ALL})
    agent = await post("/api/v1/agents", {"name": "a", "policy_ids": [policy["id"]]})
    path = f"/api/v1/agents/{agent['id']}"
    proof = {"client_id": agent["client_id"], "client_secret": agent["client_secret"]}
    wish = {"grant_type": "client_credentials", "scope": "db:read offline_access", **proof}
    token = (await app.call("POST", "/oauth/token", data=wish)).body
    given = await post("/api/v1/delegations", {"agent_id": agent["id"], "scopes": ["db:read"]})
    form = {"grant_type": EXCHANGE, "subject_token": given["subject_token"], **proof}
    exchanged = (await app.call("POST", "/oauth/token", data=form)).body
    child = {"child_agent_id": agent["id"], "capabilities": ["db:read"], "ttl_seconds": 60}
    return {
        "an administrator's key": admin,
        "a self-served key": (await post("/v1/self-serve/api-keys", {"role": "reader"}))["api_key"],
        "a SCIM token": (await post("/v1/admin/identity/scim/token/create"))["token"],
        "a client secret": agent["client_secret"],
        "a rotated client secret": (await post(f"{path}/credentials/rotate"))["client_secret"],
        "an agent's key": (await post(f"{path}/api-keys", {"scopes": ["db:read"]}))["api_key"],
        "an enroll token": (await post(f"{path}/enroll-token"))["enroll_token"],
        "an access token": token["access_token"],
        "a refresh token": token["refresh_token"],
        "an SDK's token": token["sdk_service_token"],
        "a subject token": given["subject_token"],
        "an exchanged token": exchanged["access_token"],
        "a delegated token": (await post("/oauth/delegate", child, token["access_token"]))["access_token"],
        "a session": _session(app),
    }


def _session(app: Running) -> str:
    """The form is all that matters here: a login has tests of its own."""
    return "nrgss_" + "0123456789abcdef_" + uuid.uuid4().hex + uuid.uuid4().hex[:17]


async def used_carelessly(app: Running, admin: str, secret: str) -> None:
    """Where a client, a plugin or a stack trace might put it."""
    plain = secret if secret.isascii() and secret.isprintable() else "x"
    careless = {"User-Agent": f"curl {plain}", "X-Request-Id": plain[:64]}
    await app.call("GET", "/v1/corpora", admin, headers=careless)
    await app.call("GET", "/v1/documents", secret.removeprefix("Basic "), headers=careless)
    path = secret.replace("/", "_").replace("?", "_").replace("#", "_")[:200]
    await app.call("DELETE", f"/v1/corpora/{path}", admin, headers=careless)
    await app.call("GET", f"/v1/audit/events?event_type={path}", admin, headers=careless)
    corpus = {"id": f"c{uuid.uuid4().hex[:8]}", "name": "c"}
    await app.call("POST", "/v1/corpora", admin, json=corpus, headers=careless)
    await app.call("POST", "/oauth/enroll", data={"enroll_token": secret[:200]}, headers=careless)
    form = {"grant_type": "refresh_token", "refresh_token": secret[:200]}
    await app.call("POST", "/oauth2/token", data=form, headers=careless)
    services = app.platform.facades["ops"]
    log = services.use_optional(AuditLog)
    if log is not None:
        event = AuditEvent(
            type="test.careless",
            outcome="failure",
            actor_type="system",
            actor_id=secret,
            resource_id=f"of {secret}",
            metadata={"note": f"it said {secret}", "deep": [{"x": secret}], secret: 1},
        )
        async with services.db.tenant("t1") as tx:
            await log.append(tx, event)
    try:
        raise RuntimeError(f"refused {secret}")
    except RuntimeError:
        logging.getLogger("careless").exception(
            "failed with %s", secret, extra={"detail": {"said": [secret]}}
        )


def secret_parts(secret: str) -> set[str]:
    """What must not be read: the part that is secret. A prefix and an id may."""
    if secret in (ELSEWHERE["a password in an address"], ELSEWHERE["a Basic header"]):
        return {"hunter2-hunter2", base64.b64encode(b"agt_1:hunter2-hunter2").decode()}
    tail = secret.rpartition("_")[2] if "_live_" in secret or secret.startswith("nrg") else secret[12:]
    return {tail, secret[-24:]}


async def _dump(url: str) -> str:
    """Every row of every table, as text."""
    db = await asyncpg.connect(url)
    try:
        tables = await db.fetch(
            "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        rows = [row for table in tables for row in await db.fetch(f"SELECT * FROM {table['name']}")]
    finally:
        await db.close()
    values = (value for row in rows for value in row.values() if value is not None)
    return "\n".join(v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values)


class _Lines(logging.Handler):
    """The process's log as an operator reads it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(JsonFormatter())
        self.text: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.text.append(self.format(record))


@pytest.fixture
def lines() -> Any:
    handler, root = _Lines(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler.text
    root.removeHandler(handler)
    root.setLevel(level)


async def test_no_credential_is_found_where_it_does_not_belong(
    postgres: PostgresServer, lines: list[str]
) -> None:
    async with running(postgres, ALL_PLUGINS, SETTINGS) as app:
        admin = await app.key("t1", "admin", "root")
        kinds = await minted(app, admin) | ELSEWHERE
        for secret in kinds.values():
            await used_carelessly(app, admin, secret)
        shown = [
            await app.call("GET", path, admin)
            for path in (
                "/v1/audit/events?limit=200",
                "/v1/ops/health",
                "/v1/ops/metrics",
                "/v1/admin/api-keys",
                "/api/v1/agents",
                "/api/v1/tokens/history",
                "/api/v1/delegations",
                "/v1/admin/identity/scim/tokens",
            )
        ]
        assert "test.careless" in shown[0].text
        places = {
            "the database": await _dump(app.database_url),
            "the log": "\n".join(lines),
            **{f"answer {n}": answer.text for n, answer in enumerate(shown)},
        }
    assert "refused" in places["the log"]
    found = [
        (kind, place)
        for kind, secret in kinds.items()
        for place, text in places.items()
        for part in secret_parts(secret)
        if part in text
    ]
    assert not found


async def test_formats_are_those_of_the_plugins_that_are_there(postgres: PostgresServer) -> None:
    async with running(postgres, ("directory", "apikeys", "rbac")) as app:
        declared = {known.prefix for known in app.platform.plan.credential_formats}
    assert declared == {"nrgk_"}
    async with running(postgres, ALL_PLUGINS, SETTINGS) as app:
        declared = {known.prefix for known in app.platform.plan.credential_formats}
        assert declared == {
            "nrgk_", "nrgscim_", "nrgss_", "cs_live_", "oak_live_", "oet_live_", "ort_live_", "oct_sdk_"
        }  # fmt: skip
        for prefix, asked in app.platform.plan.authenticators_of.items():
            names = {authenticator.name for authenticator in asked}
            assert len(names - {"dev-bypass"}) == 1, (prefix, names)
        # A key that is nobody's is refused by the one who mints such, not passed along.
        answer = await app.call("GET", "/v1/corpora", "oak_live_" + "0" * 16 + "_" + "1" * 51)
        assert answer.status == 401
        assert "the agent's API key is unknown" in answer.text


def test_teaching_reaches_the_log_of_the_process() -> None:
    handler = logging.StreamHandler()
    formatter = JsonFormatter()
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)
    try:
        teach_logging((), ["a-value-of-the-operator"])
        record = logging.makeLogRecord({"msg": "it is a-value-of-the-operator"})
        assert "a-value-of-the-operator" not in formatter.format(record)
    finally:
        logging.getLogger().removeHandler(handler)
