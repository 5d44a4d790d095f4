"""A derived thing dies with its parent, on every process; and nobody becomes somebody else by another's word."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import attrs
import pytest
import pytest_asyncio
from ragwork_hooks.auth import Directory
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import DEFAULT_PLUGINS, Running, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
SCOPES = "document.read document.list corpus.retrieve run.create agent.run stripe.read"
ALL = 'package oculus.authz\ndefault allow = false\nallow { input.subject.status == "active" }\n'
#: Within this many seconds whatever stood on it must have ended, on the other process, too.
PROMISE_S = 1.0


@attrs.frozen(kw_only=True)
class World:
    """Two processes over one database, a tenant, its administrator and a corpus."""

    here: Running
    there: Running
    admin: str
    tenant: str

    async def call(self, method: str, path: str, json: Any = None, key: str | None = None) -> Any:
        return await self.here.call(method, path, key or self.admin, json=json)

    async def agent(self, policy: str, **more: Any) -> dict[str, Any]:
        body = {"name": "agent", "policy_ids": [policy], **more}
        answer = await self.call("POST", "/api/v1/agents", body)
        assert answer.status == 201, answer.text
        return dict(answer.body)

    async def policy(self) -> str:
        answer = await self.call("POST", "/api/v1/policies", {"name": "p", "content": ALL})
        return str(answer.body["id"])

    async def token(self, path: str, agent: dict[str, Any], **form: str) -> Any:
        fields = {"client_id": agent["client_id"], "client_secret": agent["client_secret"], **form}
        answer = await self.here.call("POST", path, data=fields)
        assert answer.status == 200, answer.text
        return answer.body

    async def own(self, agent: dict[str, Any], **form: str) -> Any:
        return await self.token("/oauth/token", agent, grant_type="client_credentials", scope=SCOPES, **form)

    async def delegated(self, token: str, child: dict[str, Any]) -> Any:
        body = {
            "child_agent_id": child["id"],
            "capabilities": SCOPES.split(),
            "ttl_seconds": 600,
        }
        answer = await self.call("POST", "/oauth/delegate", body, token)
        assert answer.status == 200, answer.text
        return answer.body

    async def document(self, name: str, *readers: str) -> None:
        made = {"corpus_id": "c", "document_id": name, "text": f"The {name} tower is made of granite."}
        assert (await self.call("POST", "/v1/documents/text", made)).status == 202
        for reader in readers:
            grant = {"principal_type": "user", "principal_id": reader, "permission": "read"}
            answer = await self.call("POST", f"/v1/admin/authz/documents/{name}/permissions", grant)
            assert answer.status in (200, 201), answer.text
        await self.here.ingested(self.admin, name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def processes(postgres: PostgresServer) -> AsyncIterator[tuple[Running, Running]]:
    plugins = (*DEFAULT_PLUGINS, "audit", "rego", "agents")
    slow = {"FAKE_TOKENS": "2000", "FAKE_TOKEN_DELAY_MS": "20"}
    async with running(postgres, plugins, slow) as here:
        async with running(postgres, plugins, slow, here.database_url) as there:
            yield here, there


@pytest_asyncio.fixture(loop_scope="module")
async def world(processes: tuple[Running, Running]) -> World:
    here, there = processes
    tenant = f"t{uuid.uuid4().hex[:8]}"
    world = World(here=here, there=there, admin=await here.key(tenant, user="root"), tenant=tenant)
    made = {"id": "c", "name": "c", "provider_config_json": {}}
    assert (await world.call("POST", "/v1/corpora", made)).status == 201
    return world


async def _readable(world: World, token: str) -> set[str]:
    body = {"corpus_id": "c", "query": "granite tower", "top_k": 20}
    answer = await world.call("POST", "/v1/retrieve", body, token)
    assert answer.status == 200, answer.text
    found = {passage["document_id"] for passage in answer.data["passages"]}
    listed = {one["id"] for one in (await world.call("GET", "/v1/documents", key=token)).data}
    assert found == listed
    for name in ("as", "bs", "both", "all"):
        status = (await world.call("GET", f"/v1/documents/{name}", key=token)).status
        assert status == (200 if name in found else 403), name
    return found


async def test_whoever_gets_a_token_for_another_may_do_what_all_of_the_chain_may(world: World) -> None:
    policy = await world.policy()
    a, b, c = [await world.agent(policy) for _ in range(3)]
    await world.document("as", a["id"])
    await world.document("bs", b["id"], c["id"])
    await world.document("both", a["id"], b["id"])
    await world.document("all", a["id"], b["id"], c["id"])
    own = (await world.own(a))["access_token"]
    assert await _readable(world, own) == {"as", "both", "all"}
    named = await world.delegated(own, b)
    subject = {"grant_type": EXCHANGE, "subject_token": own, "subject_token_type": ACCESS}
    exchanged = [await world.token(path, b, **subject) for path in ("/oauth/token", "/oauth2/token")]
    for made in (named, *exchanged):
        assert await _readable(world, made["access_token"]) == {"both", "all"}
        said = (
            await world.here.call(
                "POST", "/oauth/introspect/v2", world.admin, data={"token": made["access_token"]}
            )
        ).body
        assert said["on_behalf_of"] == a["id"]
    assert said["act"] == {"sub": b["id"], "act": {"sub": a["id"]}}
    further = await world.delegated(named["access_token"], c)
    assert await _readable(world, further["access_token"]) == {"all"}
    again = {**subject, "subject_token": further["access_token"]}
    last = await world.token("/oauth2/token", b, **again)
    assert await _readable(world, last["access_token"]) == {"all"}


async def test_the_record_names_who_proved_to_act_and_for_whom(world: World) -> None:
    policy = await world.policy()
    a, b = [await world.agent(policy) for _ in range(2)]
    own = (await world.own(a))["access_token"]
    named = (await world.delegated(own, b))["access_token"]
    form = {"grant_type": EXCHANGE, "subject_token": own, "subject_token_type": ACCESS}
    proven = (await world.token("/oauth2/token", b, **form))["access_token"]
    for token, actor, others in ((named, a, [b]), (proven, b, [a])):
        refused = await world.call("POST", "/api/v1/signing-keys/rotate", key=token)
        assert refused.status == 403
        events = await world.call("GET", "/v1/audit/events?event_type=rbac.forbidden&limit=1")
        (event,) = events.data["items"]
        assert (event["actor_type"], event["actor_id"]) == ("agent", actor["id"])
        assert event["metadata_json"]["on_behalf_of"] == [other["id"] for other in others]
    issued = await world.call("GET", "/v1/audit/events?event_type=oauth.token_issued&limit=2")
    assert [event["actor_id"] for event in issued.data["items"]] == [b["id"], a["id"]]


async def test_a_token_for_somebody_elses_service_is_not_exchanged_for_one_here(world: World) -> None:
    policy = await world.policy()
    a, b = [await world.agent(policy) for _ in range(2)]
    elsewhere = await world.own(a, audience="https://crm.example")
    here = f"urn:ragwork:tenant:{world.tenant}"
    for path in ("/oauth/token", "/oauth2/token"):
        form = {
            "client_id": b["client_id"],
            "client_secret": b["client_secret"],
            "grant_type": EXCHANGE,
            "subject_token": elsewhere["access_token"],
            "subject_token_type": ACCESS,
        }
        kept = await world.here.call("POST", path, data=form)
        assert kept.status == 200, kept.text
        assert (await world.call("GET", "/v1/documents", key=kept.body["access_token"])).status == 401
        turned = await world.here.call("POST", path, data={**form, "audience": here})
        assert turned.status == 400, turned.text
        assert "https://crm.example" in turned.text
    own = (await world.own(a))["access_token"]
    onward = {"grant_type": EXCHANGE, "subject_token": own, "subject_token_type": ACCESS}
    assert await world.token("/oauth2/token", b, **onward, audience="https://crm.example")
    narrow = ALL.replace('active" }', 'active"\ninput.audience == "' + here + '" }')
    only_here = str(
        (await world.call("POST", "/api/v1/policies", {"name": "p", "content": narrow})).body["id"]
    )
    held = await world.agent(only_here)
    own = (await world.own(held))["access_token"]
    beyond = {
        **onward,
        "subject_token": own,
        "client_id": b["client_id"],
        "client_secret": b["client_secret"],
        "audience": "https://crm.example",
    }
    refused = await world.here.call("POST", "/oauth2/token", data=beyond)
    assert (refused.status, refused.body["error"]) == (400, "invalid_scope")


async def _set_active(world: World, user: str, active: bool) -> None:
    services = world.here.platform.facades["agents"]
    async with services.db.tenant(world.tenant) as tx:
        await services.use(Directory).set_active(tx, user, active, by="test")


@attrs.frozen(kw_only=True)
class Family:
    """An agent's token for ann, and everything that was derived from it."""

    world: World
    policy: str
    agent: dict[str, Any]
    ann: str
    delegation: str
    kid: str
    jti: str
    derived: dict[str, str]


Ending = Callable[[Family], Awaitable[Any]]


async def _post(family: Family, path: str, json: Any = None) -> None:
    answer = await family.world.call("POST", path, json)
    assert answer.status < 300, answer.text


async def _revoke_ann(family: Family) -> None:
    key_id = family.ann.removeprefix("nrgk_").partition("_")[0]
    answer = await family.world.call("PATCH", f"/v1/admin/api-keys/{key_id}", {"active": False})
    assert answer.status == 200, answer.text


ENDINGS: dict[str, Ending] = {
    "the token is revoked": lambda f: _post(f, f"/api/v1/tokens/{f.jti}/revoke"),
    "the agent is suspended": lambda f: _post(f, f"/api/v1/agents/{f.agent['id']}/suspend"),
    "its policy is switched off": lambda f: _post(f, f"/api/v1/policies/{f.policy}/deactivate"),
    "its policies are taken": lambda f: f.world.call(
        "PATCH", f"/api/v1/agents/{f.agent['id']}", {"policy_ids": []}
    ),
    "its secret is replaced": lambda f: _post(
        f, f"/api/v1/agents/{f.agent['id']}/credentials/rotate", {"overlap_window_seconds": 0}
    ),
    "its key is compromised": lambda f: _post(f, f"/api/v1/signing-keys/{f.kid}/compromise"),
    "the delegation is ended": lambda f: f.world.call("DELETE", f"/api/v1/delegations/{f.delegation}"),
    "the person is disabled": lambda f: _set_active(f.world, "ann", False),
    "the person's key is revoked": _revoke_ann,
}


async def _family(world: World) -> Family:
    policy, other = await world.policy(), await world.policy()
    agent, child = await world.agent(policy), await world.agent(other)
    ann = await world.here.key(world.tenant, "reader", "ann")
    given = await world.call(
        "POST", "/api/v1/delegations", {"agent_id": agent["id"], "scopes": SCOPES.split()}, ann
    )
    subject = {"grant_type": EXCHANGE, "subject_token": given.body["subject_token"]}
    made = await world.token("/oauth/token", agent, **subject)
    named = await world.delegated(made["access_token"], child)
    onward = {"grant_type": EXCHANGE, "subject_token": made["access_token"], "subject_token_type": ACCESS}
    exchanged = await world.token("/oauth/token", child, **onward)
    (listed,) = [
        token
        for token in (await world.call("GET", f"/api/v1/tokens?agent_id={agent['id']}")).body["tokens"]
        if token["parent_jti"] is None
    ]
    keys = (await world.call("GET", "/api/v1/signing-keys")).body["keys"]
    return Family(
        world=world,
        policy=policy,
        agent=agent,
        ann=ann,
        delegation=given.body["id"],
        kid=next(key["kid"] for key in keys if key["status"] == "active"),
        jti=listed["jti"],
        derived={
            "its token": made["access_token"],
            "its SDK's token": made["sdk_service_token"],
            "the delegated token": named["access_token"],
            "the delegated SDK's token": named["sdk_service_token"],
            "the exchanged token": exchanged["access_token"],
            "the exchanged SDK's token": exchanged["sdk_service_token"],
        },
    )


async def _status(app: Running, name: str, token: str) -> int:
    path = "/v1/sync/capability-maps" if "SDK" in name else "/v1/documents"
    return (await app.call("GET", path, token)).status


async def _until_refused(app: Running, name: str, token: str, deadline: float) -> None:
    while (status := await _status(app, name, token)) not in (401, 403):
        assert time.monotonic() < deadline, (name, status)
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("ending", ENDINGS)
async def test_all_that_was_derived_ends_with(world: World, ending: str) -> None:
    family = await _family(world)
    for app in (world.here, world.there):
        for name, token in family.derived.items():
            assert await _status(app, name, token) == 200, name
    streams = [_watched(world, family.derived[name]) for name in ("its token", "the exchanged token")]
    tasks = [asyncio.create_task(stream) for stream in streams]
    await asyncio.sleep(0.5)
    assert not any(task.done() for task in tasks), [task.result() for task in tasks if task.done()]
    await ENDINGS[ending](family)
    deadline = time.monotonic() + PROMISE_S
    for app in (world.here, world.there):
        for name, token in family.derived.items():
            await _until_refused(app, name, token, deadline)
    done, _ = await asyncio.wait(tasks, timeout=max(0.0, deadline - time.monotonic()))
    assert len(done) == len(tasks), "a stream went on"
    assert {task.result() for task in tasks} == {"AUTH_UNAUTHORIZED"}


async def _watched(world: World, token: str) -> str:
    """The code that a stream on the other process ends with."""
    body = {"corpus_id": "c", "session_id": uuid.uuid4().hex, "message": "What is the tower made of?"}
    events = [e async for e in world.there.stream("/v1/run", token, body, {"Accept": "text/event-stream"})]
    errors = [e.data["code"] for e in events if e.type == "error"]
    return errors[0] if errors else f"no error after {[e.type for e in events][-3:]}"


async def test_nothing_lives_longer_than_what_it_was_derived_from(world: World) -> None:
    policy = await world.policy()
    a, b = [await world.agent(policy, token_ttl_seconds=3600) for _ in range(2)]
    ann = await world.here.key(world.tenant, "reader", "ann")
    given = await world.call(
        "POST",
        "/api/v1/delegations",
        {"agent_id": a["id"], "scopes": SCOPES.split(), "ttl_seconds": 120},
        ann,
    )
    made = await world.token(
        "/oauth/token", a, grant_type=EXCHANGE, subject_token=given.body["subject_token"]
    )
    child = await world.delegated(made["access_token"], b)
    assert child["expires_in"] <= made["expires_in"] <= 120
    # A secret whose end is set ends what it is used for.
    rotated = await world.call(
        "POST", f"/api/v1/agents/{a['id']}/credentials/rotate", {"overlap_window_seconds": 60}
    )
    assert rotated.status == 200
    assert (await world.own(a))["expires_in"] <= 60


async def test_a_refresh_token_needs_its_client_and_dies_with_what_it_was_issued_for(world: World) -> None:
    agent, other = [await world.agent(await world.policy()) for _ in range(2)]
    form = {"grant_type": "client_credentials", "scope": f"{SCOPES} offline_access"}
    for path in ("/oauth/token", "/oauth2/token"):
        first = await world.token(path, agent, **form)
        assert "offline_access" not in first["scope"]
        refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        assert (await world.here.call("POST", path, data=refresh)).status == 401
        theirs = {"client_id": other["client_id"], "client_secret": other["client_secret"]}
        assert (await world.here.call("POST", path, data=refresh | theirs)).status in (400, 401)
        second = await world.token(path, agent, **refresh)
        assert second["refresh_token"] != first["refresh_token"]
    refresh = {"grant_type": "refresh_token", "refresh_token": second["refresh_token"]}
    renewed = await world.call(
        "POST", f"/api/v1/agents/{agent['id']}/credentials/rotate", {"overlap_window_seconds": 0}
    )
    ours = {"client_id": agent["client_id"], "client_secret": renewed.body["client_secret"]}
    assert (await world.here.call("POST", "/oauth/token", data=refresh | ours)).status == 401
    kept = await world.token("/oauth/token", agent | ours, **form)
    (kid,) = [
        key["kid"]
        for key in (await world.call("GET", "/api/v1/signing-keys")).body["keys"]
        if key["status"] == "active"
    ]
    assert (await world.call("POST", f"/api/v1/signing-keys/{kid}/compromise")).status == 200
    refresh = {"grant_type": "refresh_token", "refresh_token": kept["refresh_token"]}
    assert (await world.here.call("POST", "/oauth/token", data=refresh | ours)).status == 401
