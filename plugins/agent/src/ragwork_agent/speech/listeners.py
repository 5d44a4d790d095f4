"""Whom an answer was made for, kept with what is derived from it, and who they are today."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import attrs
from ragwork_hooks.auth import Directory, Principal, Role
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction

#: A principal and those it acts for, as JSON.
Listeners: TypeAlias = Sequence[Mapping[str, Any]]


def kept(principal: Principal) -> Listeners:
    """What has to be known of ``principal`` to judge by its rights later."""
    return [
        {
            "user_id": who.user_id,
            "credential_id": who.credential_id,
            "kind": who.kind,
            "role": who.role.label,
            "scopes": None if who.scopes is None else sorted(who.scopes),
        }
        for who in principal.chain
    ]


@attrs.frozen(kw_only=True)
class Present:
    """Finds out who listeners are now."""

    services: Services
    directory: Directory | None

    async def principal(self, tx: Transaction, listeners: Listeners) -> Principal | None:
        """The principal with the role and groups of today; ``None`` when it, its key or whom it acts for was
        disabled. A few round trips.
        """
        named = [("user", who["user_id"]) for who in listeners]
        named += [("api_key", who["credential_id"]) for who in listeners if who["kind"] == "api_key"]
        for kind in dict.fromkeys(kind for kind, _ in named):
            if not await self._active(tx, kind, {name for k, name in named if k == kind}):
                return None
        ids = [who["user_id"] for who in listeners]
        users = {} if self.directory is None else await self.directory.users(tx, ids)
        principal: Principal | None = None
        for who in reversed(listeners):
            user, role = users.get(who["user_id"]), Role.parse(who["role"])
            principal = Principal(
                tenant_id=tx.tenant_id,
                user_id=who["user_id"],
                credential_id=who["credential_id"],
                kind=who["kind"],
                role=role if user is None else min(role, user.role),
                groups=frozenset() if user is None else user.groups,
                scopes=None if who["scopes"] is None else frozenset(who["scopes"]),
                on_behalf_of=principal,
            )
        return principal

    async def _active(self, tx: Transaction, kind: str, ids: set[str]) -> bool:
        """Whether all of ``ids`` may act; yes where no plugin keeps principals of the kind."""
        rosters = [roster for roster in self.services.registry.rosters if kind in roster.kinds]
        missing = set(ids) if rosters else set()
        for roster in rosters:
            missing -= await roster.active(tx, kind, missing) if missing else set()
        return not missing
