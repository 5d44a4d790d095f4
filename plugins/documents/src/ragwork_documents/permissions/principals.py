"""Whom a grant may name: somebody who exists, or who is created with it when that is asked for."""

from collections.abc import Mapping, Sequence
from typing import Final

import attrs
from ragwork_hooks.auth import Directory, Role
from ragwork_hooks.errors import Problem
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction

from ragwork_documents.ingestion.input_checks import invalid

#: Types that a grant can bring into being.
CREATABLE: Final = ("user", "group")
_ROLES: Final = tuple(role.label for role in Role)


@attrs.frozen(kw_only=True)
class NamedPrincipal:
    """A principal as a request names it, and where in the request."""

    kind: str
    id: str
    path: Sequence[str | int]
    create: bool = False


class Principals:
    """Holds names in grants against the rosters of whoever keeps principals."""

    def __init__(self, services: Services, directory: Directory | None) -> None:
        self._services = services
        self._directory = directory

    async def require(self, tx: Transaction, named: Sequence[NamedPrincipal]) -> Sequence[str]:
        """Check all of ``named``; the ``type:id`` of those that were created for it.

        Raises ``Problem`` 422 for the first that does not exist, naming the nearest that does. A type that
        no plugin keeps is taken as it is. One round trip for each type that is named.
        """
        for one in named:
            _check_form(one, tx.tenant_id)
        known = await self._known(tx, named)
        created: dict[str, None] = {}
        for one in named:
            if one.kind not in known or one.id in known[one.kind]:
                continue
            if not one.create or one.kind not in CREATABLE or self._directory is None:
                raise await self._unknown(tx, one)
            created[f"{one.kind}:{one.id}"] = None
            await self._create(tx, self._directory, one)
        return list(created)

    async def _known(self, tx: Transaction, named: Sequence[NamedPrincipal]) -> Mapping[str, frozenset[str]]:
        known: dict[str, frozenset[str]] = {}
        for kind in dict.fromkeys(one.kind for one in named):
            ids = {one.id for one in named if one.kind == kind}
            for roster in self._services.registry.rosters:
                if kind in roster.kinds:
                    known[kind] = known.get(kind, frozenset()) | await roster.known(tx, kind, ids)
        return known

    async def _create(self, tx: Transaction, directory: Directory, one: NamedPrincipal) -> None:
        """As a reader, or as a group without members: a grant gives no other right than itself."""
        if one.kind == "user":
            await directory.ensure_user(tx, one.id, Role.READER, by="grant")
        else:
            await directory.ensure_group(tx, one.id, one.id)

    async def _unknown(self, tx: Transaction, one: NamedPrincipal) -> Problem:
        near = None
        for roster in self._services.registry.rosters:
            if near is None and one.kind in roster.kinds:
                near = await roster.nearest(tx, one.kind, one.id)
        what = one.kind.replace("_", " ").replace("api", "API")
        meant = f", did you mean {near!r}?" if near is not None else ""
        hint = ' ("create": true would create it)' if one.kind in CREATABLE else ""
        return invalid([*one.path], f"{what} {one.id!r} does not exist{meant}{hint}", "unknown_principal")


def _check_form(one: NamedPrincipal, tenant_id: str) -> None:
    path = [*one.path]
    if not one.id.isprintable():
        raise invalid(path, "must not contain control characters")
    if one.kind == "tenant" and one.id != tenant_id:
        raise invalid(path, f"must be the id of your own tenant, {tenant_id!r}")
    if one.kind == "role" and one.id not in _ROLES:
        raise invalid(path, f"{one.id!r} is not a role; choose {', '.join(_ROLES)}", "literal_error")
