"""What SCIM asks of every request beyond role and plan: that it is switched on, and a token of its own."""

from typing import Final, Literal

from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import ABSTAIN, Action, Deny, ReadScope, Resource, Verdict
from ragwork_hooks.storage import Transaction

from ragwork_scim.authenticator import KIND

FEATURE: Final = "identity.scim"
#: Kinds of what is acted on: the protocol, and what an admin does about it.
PROTOCOL: Final = "scim"
ADMINISTRATION: Final = ("scim_token", "scim_group")


class ScimGate:
    """Implements ``ragwork_hooks.authz.Gate``, stage ``role``."""

    name: str = "scim"
    stage: Literal["role", "resource"] = "role"

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled

    async def decide(
        self, principal: Principal, action: Action, resource: Resource | None, tx: Transaction | None
    ) -> Verdict:
        kind = action.name.partition(".")[0]
        if kind != PROTOCOL and kind not in ADMINISTRATION:
            return ABSTAIN
        if not self._enabled:
            return Deny("IDENTITY_FEATURE_DISABLED", "SCIM is switched off here (SCIM_ENABLED=false)")
        if kind == PROTOCOL and principal.kind != KIND:
            return Deny(
                "SCIM_UNAUTHORIZED", "SCIM needs a SCIM token; an admin makes one at /v1/admin/identity/scim"
            )
        return ABSTAIN

    async def narrow(self, principal: Principal, action: Action, scope: ReadScope) -> ReadScope:
        """``scope`` itself: SCIM has no documents."""
        return scope
