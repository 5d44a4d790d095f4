"""The README's role matrix of the seed, as data."""

import pytest
from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.authz import ALLOW, Action, Allow, Deny, Everything, Nothing, OwnedBy
from ragwork_rbac.gate import RoleGate

READER, EDITOR, ADMIN = Role.READER, Role.EDITOR, Role.ADMIN
# route of the seed's table → (action, who may)
MATRIX = {
    "/v1/run": (Action(name="run.invoke", role=READER), {READER, EDITOR, ADMIN}),
    "GET /v1/documents": (Action(name="document.list", role=READER), {READER, EDITOR, ADMIN}),
    "POST /v1/documents": (Action(name="document.create", role=EDITOR), {EDITOR, ADMIN}),
    "DELETE /v1/documents": (Action(name="document.delete", role=EDITOR), {EDITOR, ADMIN}),
    "POST /v1/documents/*/reindex": (Action(name="document.reindex", role=EDITOR), {EDITOR, ADMIN}),
    "GET /v1/corpora": (Action(name="corpus.list", role=READER), {READER, EDITOR, ADMIN}),
    "PATCH /v1/corpora": (Action(name="corpus.update", role=EDITOR), {EDITOR, ADMIN}),
    "/v1/ops/*": (Action(name="ops.view", role=ADMIN), {ADMIN}),
}


def caller(role: Role, *, platform: bool = False) -> Principal:
    return Principal(
        tenant_id="t1", user_id="u", credential_id="k", kind="api_key", role=role, platform=platform
    )


@pytest.mark.parametrize("route", MATRIX)
@pytest.mark.parametrize("role", list(Role), ids=lambda r: r.label)
async def test_seed_role_matrix(route: str, role: Role) -> None:
    action, allowed = MATRIX[route]
    verdict = await RoleGate().decide(caller(role), action, None, None)
    assert isinstance(verdict, Allow) == (role in allowed)
    if isinstance(verdict, Deny):
        assert verdict.code == "AUTH_FORBIDDEN"
        assert action.role.label in verdict.message


@pytest.mark.parametrize("role", list(Role), ids=lambda r: r.label)
@pytest.mark.parametrize("platform", [False, True])
async def test_platform_action_needs_role_and_platform_scope(role: Role, platform: bool) -> None:
    action = Action(name="tenant.freeze", role=ADMIN, platform=True)
    verdict = await RoleGate().decide(caller(role, platform=platform), action, None, None)
    assert isinstance(verdict, Allow) == (role is ADMIN and platform)


async def test_platform_scope_does_not_raise_the_role() -> None:
    action = Action(name="document.delete", role=EDITOR)
    assert isinstance(await RoleGate().decide(caller(READER, platform=True), action, None, None), Deny)
    assert await RoleGate().decide(caller(EDITOR), action, None, None) == ALLOW


@pytest.mark.parametrize("scope", [Everything(), Nothing(), OwnedBy("u")])
async def test_read_scope_passes_unchanged(scope: Everything | Nothing | OwnedBy) -> None:
    assert await RoleGate().narrow(caller(ADMIN), Action(name="document.read"), scope) is scope
