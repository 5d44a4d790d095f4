"""The gates: what they are about, what they leave alone, and how they fail."""

from datetime import UTC, datetime

import pytest
from ragwork_abac.config import AbacConfig
from ragwork_abac.gate import MANAGE, READ, SIMULATE, DocumentGate, RouteGate, resource_type, verb
from ragwork_abac.policies import AbacPolicy, PolicySet
from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.authz import ABSTAIN, ALLOW, Action, Deny, Everything, Resource
from ragwork_hooks.errors import ConfigError, Problem
from ragwork_testkit.gates import GateContract

DOCUMENT_READ = Action(name="document.read")


class Clock:
    def now(self):
        return datetime(2026, 5, 5, 10, 30, tzinfo=UTC)


class Given:
    """Rules that need no database."""

    def __init__(self, *policies, error=None):
        self.policies = policies
        self.error = error

    async def in_force(self, tenant_id):
        if self.error is not None:
            raise self.error
        return PolicySet.of(tenant_id, self.policies)


def policy(effect="deny", type_="*", action="*", condition=None, **more):
    given = {"priority": 1, "enabled": True, "version": 1, "id": "p", **more}
    return AbacPolicy(
        tenant_id="t1",
        name="n",
        effect=effect,
        resource_type=type_,
        action=action,
        condition=condition or {},
        **given,
    )


def gates(*policies, error=None, **settings):
    parts = (Given(*policies, error=error), Clock(), AbacConfig(**settings))
    return RouteGate(*parts), DocumentGate(*parts)


def principal(role=Role.EDITOR, **more):
    return Principal(tenant_id="t1", user_id="ann", credential_id="k", kind="api_key", role=role, **more)


def document(*permissions, **more):
    return Resource(kind="document", id="d", tenant_id="t1", permissions=frozenset(permissions), **more)


class TestRouteGateContract(GateContract):
    actions = ("run.create", "corpus.read")

    def make(self):
        return gates()[0]


class TestDocumentGateContract(GateContract):
    actions = ("document.read", "document.delete")

    def make(self):
        return gates(policy(condition={"eq": [{"var": "resource.labels.level"}, "secret"]}))[1]


@pytest.mark.parametrize(
    ("name", "role", "expected"),
    [
        ("document.read", Role.READER, ("document", "read")),
        ("document.administer", Role.ADMIN, ("document", "manage")),
        ("document.reindex", Role.EDITOR, ("document", "reindex")),
        ("corpus.retrieve", Role.READER, ("corpus", "read")),
        ("corpus.write", Role.EDITOR, ("corpus", "write")),
        ("corpus.delete", Role.EDITOR, ("corpus", "delete")),
        ("run.create", Role.READER, ("run", "run")),
        ("session.list", Role.READER, ("run", "read")),
        ("session.delete", Role.READER, ("run", "delete")),
        ("api_key.list", Role.ADMIN, ("admin", "read")),
        ("api_key.update", Role.ADMIN, ("admin", "write")),
        ("api_key.rotate", Role.ADMIN, ("admin", "manage")),
        ("ops.read", Role.ADMIN, ("ops", "read")),
        ("audit.read", Role.ADMIN, ("audit", "read")),
        ("board.read", Role.READER, ("board", "read")),
    ],
)
async def test_each_action_has_a_name_in_the_policies_language(name, role, expected):
    action = Action(name=name, role=role)
    assert (resource_type(name.partition(".")[0], action), verb(action)) == expected


async def test_a_fresh_install_allows_what_roles_and_grants_allow():
    routes, documents = gates()
    for name in ("run.create", "corpus.read", "session.read", "board.read", "ops.read", "audit.read"):
        assert await routes.decide(principal(), Action(name=name), None, None) == ALLOW
    assert await routes.decide(principal(), DOCUMENT_READ, None, None) == ABSTAIN
    assert await documents.decide(principal(), DOCUMENT_READ, document("read"), None) == ALLOW
    for resource in (document(), document("write")):
        verdict = await documents.decide(principal(), DOCUMENT_READ, resource, None)
        assert verdict.code == "AUTHZ_DENIED"
        assert verdict.details["reason"] == "default_deny"
        assert verdict.audit_event == "authz.access.denied"
    administer = Action(name="document.administer", role=Role.ADMIN)
    assert await documents.decide(principal(Role.ADMIN), administer, document(), None) == ALLOW
    assert isinstance(await documents.decide(principal(), administer, document("owner"), None), Deny)


async def test_a_deny_outweighs_every_allow_and_names_itself():
    deny = policy(id="no", type_="run", condition={"eq": [{"var": "principal.role"}, "reader"]})
    allow = policy("allow", id="yes", type_="run", priority=1_000)
    routes, _ = gates(deny, allow)
    verdict = await routes.decide(principal(Role.READER), Action(name="run.create"), None, None)
    assert verdict.details == {
        "reason": "policy_deny",
        "resource_type": "run",
        "action": "run",
        "policy_id": "no",
    }
    assert verdict.audit_event == "authz.policy.denied"
    assert await routes.decide(principal(), Action(name="run.create"), None, None) == ALLOW


@pytest.mark.parametrize("action", [READ, MANAGE, SIMULATE])
async def test_no_policy_locks_a_tenant_out_of_its_policies(action):
    routes, documents = gates(policy())
    assert await routes.decide(principal(Role.ADMIN), action, None, None) == ABSTAIN
    assert isinstance(await routes.decide(principal(Role.ADMIN), Action(name="ops.read"), None, None), Deny)
    assert isinstance(
        await documents.decide(principal(Role.ADMIN), DOCUMENT_READ, document("read"), None), Deny
    )


async def test_without_default_deny_what_nothing_matches_is_left_to_others():
    _, documents = gates(default_deny=False)
    assert await documents.decide(principal(), DOCUMENT_READ, document(), None) == ABSTAIN


async def test_switched_off_the_gates_say_nothing():
    routes, documents = gates(policy(), enabled=False)
    assert await routes.decide(principal(), Action(name="run.create"), None, None) == ABSTAIN
    assert await documents.decide(principal(), DOCUMENT_READ, document(), None) == ABSTAIN
    assert await documents.narrow(principal(), DOCUMENT_READ, Everything()) == Everything()


async def test_an_invalid_stored_policy_denies_what_it_may_be_about():
    routes, documents = gates(policy("allow", condition={"nope": 1}))
    for gate, action, resource in (
        (routes, Action(name="run.create"), None),
        (documents, DOCUMENT_READ, document("read")),
    ):
        verdict = await gate.decide(principal(), action, resource, None)
        assert verdict.details["reason"] == "policy_invalid"


async def test_a_database_that_is_away_is_no_denial():
    routes, _ = gates(error=Problem("SERVICE_UNAVAILABLE", "away", headers={"Retry-After": "1"}))
    verdict = await routes.decide(principal(), Action(name="run.create"), None, None)
    assert (verdict.code, verdict.headers) == ("SERVICE_UNAVAILABLE", {"Retry-After": "1"})


async def test_time_and_groups_are_known():
    hours = {"time_between": [{"var": "request.time"}, {"start": "09:00", "end": "10:30"}]}
    routes, _ = gates(policy(condition=hours))
    assert await routes.decide(principal(), Action(name="run.create"), None, None) == ALLOW
    routes, _ = gates(policy(condition={"contains": [{"var": "principal.groups"}, "interns"]}))
    intern = principal(groups=frozenset({"interns"}))
    assert isinstance(await routes.decide(intern, Action(name="run.create"), None, None), Deny)


def test_the_tenant_predicate_can_not_be_switched_off():
    with pytest.raises(ConfigError, match="AUTHZ_REQUIRE_TENANT_PREDICATE"):
        AbacConfig(tenant_predicate=False)
