"""Routes that speak a standard's own language, credentials with scopes, and agents that act for somebody."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import pytest_asyncio
from ragwork_hooks.auth import Credential, Principal, Role
from ragwork_hooks.authz import ALLOW, Action, Deny, Everything, OwnedBy, ReadScope, all_of
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import File
from ragwork_kernel.data import migrations
from ragwork_kernel.request.authorization import AuthorizationGates
from ragwork_testkit.database import FreshDatabase, PostgresServer
from serving import RoleGate, StepGate, public, route, serving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(postgres: PostgresServer) -> AsyncIterator[FreshDatabase]:
    async with postgres.database([migrations.KERNEL]) as fresh:
        yield fresh


@attrs.frozen
class Scimlike:
    media_type: str = "application/scim+json"
    body_types: tuple[str, ...] = ("application/scim+json", "application/json", "text/plain")

    def failure(self, problem: Problem, request_id: str) -> tuple[int, object]:
        status = 400 if problem.status == 422 else problem.status
        return status, {"detail": problem.message, "status": str(status)}


@attrs.frozen(kw_only=True)
class TokenForm:
    grant_type: str
    scope: str | None = None


ACCEPT = {"Accept": "application/scim+json"}


async def test_what_no_route_takes_is_refused_in_the_words_of_its_neighbours(database: FreshDatabase) -> None:
    async def handler(_call: Any) -> object:
        return {}

    spoken = {"error_format": Scimlike(), "method": "POST", "body": dict, "body_kind": "json"}
    routes = (
        route(handler, name="a", path="/v1/scim/v2/Things", **spoken, body_limit=100),
        route(handler, name="b", path="/v1/scim/v2/Things/{id}", error_format=Scimlike()),
        route(handler, name="c", path="/oauth/token", **spoken),
        route(handler, name="d", path="/v1/things"),
    )
    async with serving(database.app, *routes) as served:

        async def spoke(method: str, path: str, **more: Any) -> tuple[int, bool]:
            headers = {**ACCEPT, **more.pop("headers", {})}
            status, body, response = await served.call(method, path, headers=headers, **more)
            own = response.headers["Content-Type"] == "application/scim+json"
            assert set(body) == ({"detail", "status"} if own else {"error", "meta"}), body
            return status, own

        for path in ("Nothing", "Things/", "/Things", "Things//x", "Things/1/2", "", "Things/x%2Fy/z"):
            assert await spoke("GET", f"/v1/scim/v2/{path}") == (404, True), path
        assert await spoke("GET", "//v1/scim/v2/None") == (404, True)
        assert await spoke("GET", "/v1/scim") == (404, True)
        assert await spoke("DELETE", "/v1/scim/v2/Things") == (405, True)
        assert await spoke("GET", "/oauth/other") == (404, True)
        assert await spoke("POST", "/v1/scim/v2/Things", data=b" " * 101) == (413, True)
        assert await spoke("POST", "/v1/scim/v2/Things", data=b"{}", headers={"Content-Type": "a/b"}) == (
            415,
            True,
        )
        assert await spoke("GET", "/v1/scim/v2/x", headers={"Expect": "more"}) == (417, True)
        for path in ("/v1/other", "/v1/things/x", "/nowhere", "/v1"):
            assert await spoke("GET", path) == (404, False), path


async def test_a_dialect_answers_bare_and_refuses_in_its_own_words(database: FreshDatabase) -> None:
    async def handler(call: Any) -> object:
        return {"got": call.body}

    declared = route(
        handler, method="POST", path="/scim/v2/Things", body=dict, body_kind="json", error_format=Scimlike()
    )
    async with serving(database.app, declared) as served:
        sent = {"urn:x:1.0": {"a": 1}, "tenant_id": "x"}
        status, body, response = await served.call("POST", "/scim/v2/Things", json=sent, headers=ACCEPT)
        assert (status, body) == (200, {"got": sent})
        assert response.headers["Content-Type"] == "application/scim+json"
        refused = await served.call("POST", "/scim/v2/Things", data=b"{", headers={
            **ACCEPT, "Content-Type": "application/scim+json"})  # fmt: skip
        assert (refused[0], refused[1]["status"]) == (400, "400")
        nobody = await served.call("POST", "/scim/v2/Things", token=None, json={}, headers=ACCEPT)
        assert (nobody[0], nobody[1]["status"]) == (401, "401")
        assert nobody[2].headers["WWW-Authenticate"] == "Bearer"
        # The route decides it: what a client accepts, or calls its body, changes nothing.
        for headers in ({}, {"Accept": "application/json"}, {"Accept": "text/html"}):
            plain = await served.call("POST", "/scim/v2/Things", json=[1], headers=headers)
            assert (plain[0], plain[1]["status"]) == (400, "400")
        text = {"Content-Type": "text/plain"}
        assert (await served.call("POST", "/scim/v2/Things", data=b"{}", headers=text))[0] == 200


@pytest.mark.parametrize(("raw", "status"), [
    (b"grant_type=x&scope=a+b&unknown=1", 200), (b"grant_type=x&grant_type=y", 422), (b"scope=a", 422),
    (b"unknown=1&unknown=2&grant_type=x", 200), (b"grant_type=%ff", 422),
])  # fmt: skip
async def test_a_form_is_decoded_strictly(database: FreshDatabase, raw: bytes, status: int) -> None:
    async def handler(call: Any) -> object:
        return {"grant_type": call.body.grant_type, "scope": call.body.scope}

    declared = public(handler, method="POST", body=TokenForm, body_kind="form")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with serving(database.app, declared) as served:
        answered, body, _ = await served.call("POST", token=None, data=raw, headers=headers)
        assert answered == status
        if raw.startswith(b"grant_type=x&scope"):
            assert body["data"] == {"grant_type": "x", "scope": "a b"}
        wrong = await served.call("POST", token=None, json={"grant_type": "x"})
        assert wrong[0] == 415


async def test_bytes_may_have_a_status(database: FreshDatabase) -> None:
    async def handler(_call: Any) -> object:
        return File(data=b"moved", mime="text/plain", status=307, headers={"Location": "/x"})

    async with serving(database.app, public(handler)) as served:
        async with served.session.get(served.base + "/v1/things", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (307, "/x")


@attrs.frozen
class Scoped:
    """Believes every bearer: a JSON-free ``user`` limited to ``scopes``."""

    scopes: frozenset[str] | None
    name: str = "scoped"

    async def authenticate(self, credential: Credential) -> Principal | None:
        return person("ann", self.scopes)


def person(
    user: str, scopes: frozenset[str] | None = None, role: Role = Role.ADMIN, **more: Any
) -> Principal:
    return Principal(
        tenant_id="t1", user_id=user, credential_id=user, kind="agent", role=role, scopes=scopes, **more
    )


@pytest.mark.parametrize(("scopes", "status"), [
    (None, 200), (frozenset(), 403), (frozenset({"thing.read"}), 200), (frozenset({"thing.*"}), 200),
    (frozenset({"thing.write", "other.*", "thing", "*"}), 403),
])  # fmt: skip
async def test_a_credentials_scopes_bound_what_it_reaches_whatever_gates_say(
    database: FreshDatabase, scopes: frozenset[str] | None, status: int
) -> None:
    async def handler(_call: Any) -> object:
        return {}

    declared = route(handler, action=Action(name="thing.read"))
    async with serving(
        database.app, declared, authenticators=(Scoped(scopes),), gates=(StepGate(ALLOW),)
    ) as served:
        assert (await served.call())[0] == status


@pytest.mark.parametrize(("agent", "human", "allowed"), [
    (Role.ADMIN, Role.ADMIN, True), (Role.ADMIN, Role.READER, False), (Role.READER, Role.ADMIN, False),
])  # fmt: skip
async def test_who_acts_for_somebody_may_do_what_both_may(agent: Role, human: Role, allowed: bool) -> None:
    plan = AuthorizationGates()
    plan.freeze((RoleGate(),))
    both = person("agent", role=agent, on_behalf_of=person("bob", role=human))
    decision = await plan.decide_stage("role", both, Action(name="x.y", role=Role.ADMIN), None, None)
    assert isinstance(decision.verdict, Deny) is not allowed


async def test_who_acts_for_somebody_reads_what_both_read() -> None:
    class Own(StepGate):
        async def narrow(self, principal: Principal, action: Action, scope: ReadScope) -> ReadScope:
            return all_of(scope, OwnedBy(principal.user_id))

    plan = AuthorizationGates()
    plan.freeze((Own(stage="resource"),))
    both = person("agent", on_behalf_of=person("bob"))
    scope = await plan.read_scope(both, Action(name="document.read"))
    assert scope == all_of(OwnedBy("agent"), OwnedBy("bob"))
    assert scope != Everything()


async def test_stale_reads_survive_a_replica_that_is_away(database: FreshDatabase) -> None:
    from ragwork_kernel.base.telemetry import Telemetry
    from ragwork_kernel.data.db import Pool
    from ragwork_kernel.data.read_replica import ReplicaAwareDatabase

    telemetry = Telemetry("test")
    primary = await Pool.open(database.app, size=2, statement_timeout_ms=5000)
    replica = await Pool.open(database.app, size=1, statement_timeout_ms=5000, acquire_timeout_s=0.2)
    both = ReplicaAwareDatabase(primary, replica, telemetry)
    together = asyncio.Barrier(2)

    async def read() -> int:
        async with both.tenant("t1", "read", stale=True) as tx:
            await together.wait()
            return int(await tx.fetchval("SELECT 1"))

    # The replica's only connection is taken: the second read falls back.
    assert await asyncio.gather(read(), read()) == [1, 1]
    sources = {s.labels["source"]: s.value for s in telemetry.read() if s.name.endswith("stale_reads_total")}
    assert sources == {"replica": 1.0, "primary": 1.0}
    await replica.close()
    await primary.close()
