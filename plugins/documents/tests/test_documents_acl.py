"""The permission lattice and the gate."""

import itertools

import pytest
from ragwork_documents.permissions import acl
from ragwork_hooks import authz
from ragwork_hooks.auth import Principal, Role
from ragwork_toolkit.scope_sql import Parameters

GRANTS = ("read", "write", "delete", "reindex", "owner")
ACTIONS = {"read": acl.READ, "write": acl.WRITE, "delete": acl.DELETE, "reindex": acl.REINDEX}
LATTICE = {
    "read": {"read"},
    "write": {"read", "write"},
    "delete": {"read", "write", "delete"},
    "reindex": {"read", "reindex"},
    "owner": {"read", "write", "delete", "reindex"},
}


def principal(role=Role.EDITOR, tenant="t1"):
    return Principal(tenant_id=tenant, user_id="u", credential_id="k", kind="api_key", role=role)


def document(*granted, tenant="t1"):
    return authz.Resource(kind="document", id="d", tenant_id=tenant, permissions=acl.permissions(granted))


@pytest.mark.parametrize(("grant", "verb"), list(itertools.product(GRANTS, ACTIONS)))
async def test_each_grant_gives_exactly_what_the_lattice_says(grant, verb):
    gate = acl.DocumentAcl(admin_bypass=False)
    verdict = await gate.decide(principal(), ACTIONS[verb], document(grant), None)
    assert (verdict == authz.ALLOW) == (verb in LATTICE[grant])


@pytest.mark.parametrize("role", list(Role))
async def test_no_role_reaches_a_document_without_a_grant(role):
    gate = acl.DocumentAcl(admin_bypass=False)
    for action in ACTIONS.values():
        verdict = await gate.decide(principal(role), action, document(), None)
        assert isinstance(verdict, authz.Deny)
        assert verdict.code == "AUTHZ_DENIED"


ROW = {"id": "d", "owner": "somebody", "labels": {}, "granted": []}


async def test_the_bypass_is_for_administrators_and_off_unless_set():
    for bypass, role, allowed in (
        (True, Role.ADMIN, True),
        (True, Role.EDITOR, False),
        (False, Role.ADMIN, False),
    ):
        gate = acl.DocumentAcl(admin_bypass=bypass)
        found = gate.resource(ROW, principal(role), "t1")
        assert found.permissions == (acl.EVERY_PERMISSION if allowed else frozenset())
        verdict = await gate.decide(principal(role), acl.READ, found, None)
        assert (verdict == authz.ALLOW) == allowed
        scope = await gate.narrow(principal(role), acl.READ, authz.Everything())
        assert isinstance(scope, authz.Everything if allowed else authz.ReadableBy)


async def test_the_bypass_ends_at_the_tenant():
    gate = acl.DocumentAcl(admin_bypass=True)
    assert gate.resource(ROW, principal(Role.ADMIN), "t2").permissions == frozenset()


async def test_administrators_manage_grants_and_nobody_else():
    gate = acl.DocumentAcl(admin_bypass=False)
    assert await gate.decide(principal(Role.ADMIN), acl.ADMINISTER, document(), None) == authz.ALLOW
    assert isinstance(await gate.decide(principal(), acl.ADMINISTER, document("owner"), None), authz.Deny)


async def test_other_kinds_are_left_alone_and_foreign_documents_denied():
    gate = acl.DocumentAcl(admin_bypass=True)
    other = authz.Resource(kind="session", id="s", tenant_id="t1")
    assert isinstance(await gate.decide(principal(), acl.READ, other, None), authz.Abstain)
    assert isinstance(await gate.decide(principal(), acl.READ, None, None), authz.Abstain)
    foreign = document("owner", tenant="t2")
    assert isinstance(await gate.decide(principal(Role.ADMIN), acl.READ, foreign, None), authz.Deny)


async def test_narrowing_keeps_what_other_gates_said():
    gate = acl.DocumentAcl(admin_bypass=False)
    scope = await gate.narrow(principal(), acl.READ, authz.OwnedBy("u"))
    assert scope == authz.AllOf((authz.OwnedBy("u"), authz.ReadableBy(authz.readers_of(principal()))))


def test_scope_values_never_enter_the_sql():
    hostile = "'; DROP TABLE documents.documents; --"
    scope = authz.AllOf(
        (
            authz.AnyOf((authz.OwnedBy(hostile), authz.Nothing(), authz.Everything())),
            authz.Not(authz.LabelIn(hostile, frozenset({hostile}))),
            authz.ReadableBy(frozenset({hostile})),
        )
    )
    parameters = Parameters(["first"])
    sql = acl.scope_condition(scope, parameters)
    assert "DROP" not in sql
    assert len(parameters.values) == 6
    assert "$6" in sql
