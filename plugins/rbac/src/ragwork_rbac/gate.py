"""The role gate."""

from typing import Literal

from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import ALLOW, Action, Deny, ReadScope, Resource, Verdict
from ragwork_hooks.storage import Transaction


class RoleGate:
    """Minimum role and platform scope. Implements ``ragwork_hooks.authz.Gate``, stage ``role``."""

    name: str = "rbac"
    stage: Literal["role", "resource"] = "role"

    async def decide(
        self, principal: Principal, action: Action, resource: Resource | None, tx: Transaction | None
    ) -> Verdict:
        if principal.role < action.role:
            return Deny(
                "AUTH_FORBIDDEN",
                f"{action.name} needs the role {action.role.label}; yours is {principal.role.label}",
            )
        if action.platform and not principal.platform:
            return Deny(
                "AUTH_FORBIDDEN",
                f"{action.name} acts beyond one tenant and needs platform scope beside the role",
            )
        return ALLOW

    async def narrow(self, principal: Principal, action: Action, scope: ReadScope) -> ReadScope:
        """``scope`` itself: a role opens actions, never rows."""
        return scope
