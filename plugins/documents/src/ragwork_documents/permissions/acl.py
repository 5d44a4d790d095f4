"""The document ACL: which grant satisfies which permission, and the gate that judges by it."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal

from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.authz import (
    ABSTAIN,
    ALLOW,
    Action,
    Deny,
    ReadableBy,
    ReadScope,
    Resource,
    Verdict,
    all_of,
    readers_of,
)
from ragwork_hooks.errors import not_found
from ragwork_hooks.storage import Row, Transaction
from ragwork_toolkit import scope_sql
from ragwork_toolkit.scope_sql import Parameters

DOCUMENT: Final = "document"
READ: Final = Action(name="document.read", role=Role.READER)
WRITE: Final = Action(name="document.write", role=Role.EDITOR)
DELETE: Final = Action(name="document.delete", role=Role.EDITOR)
REINDEX: Final = Action(name="document.reindex", role=Role.EDITOR)
ADMINISTER: Final = Action(name="document.administer", role=Role.ADMIN)

#: Permission → the grants that satisfy it. The one place where one permission implies another (wire
#: contract, §4 "ACL satisfaction").
SATISFIED_BY: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "read": frozenset({"read", "write", "delete", "reindex", "owner"}),
        "write": frozenset({"write", "delete", "owner"}),
        "delete": frozenset({"delete", "owner"}),
        "reindex": frozenset({"reindex", "owner"}),
        "owner": frozenset({"owner"}),
    }
)
EVERY_PERMISSION: Final = frozenset(SATISFIED_BY)
READ_GRANTS: Final = sorted(SATISFIED_BY["read"])

# The grants that one of the readers $1 holds on document d, by database time.
GRANTED: Final = """ARRAY(
    SELECT DISTINCT g.permission FROM documents.grants g
    WHERE g.tenant_id = d.tenant_id AND g.document_id = d.id AND g.reader = ANY($1::text[])
      AND (g.expires_at IS NULL OR g.expires_at > now()))"""


def new_resource(
    principal: Principal, tenant_id: str, document_id: str, labels: Mapping[str, str]
) -> Resource:
    """A document that ``principal`` is about to create: it will own it."""
    return Resource(
        kind=DOCUMENT,
        id=document_id,
        tenant_id=tenant_id,
        owner=principal.user_id,
        labels=labels,
        permissions=EVERY_PERMISSION,
    )


def permissions(granted: Iterable[str]) -> frozenset[str]:
    """All that a holder of the grants ``granted`` may do."""
    held = frozenset(granted)
    return frozenset(name for name, satisfying in SATISFIED_BY.items() if held & satisfying)


def scope_condition(scope: ReadScope, parameters: Parameters) -> str:
    """What of ``documents.documents d`` lies in ``scope``; true or false, never null."""

    def granted(readers: str) -> str:
        return f"""EXISTS (SELECT FROM documents.grants g
        WHERE g.tenant_id = d.tenant_id AND g.document_id = d.id AND g.reader = ANY({readers})
          AND g.permission = ANY({parameters.bind(READ_GRANTS, "text[]")})
          AND (g.expires_at IS NULL OR g.expires_at > now()))"""  # placeholders only

    return scope_sql.compile(scope, parameters, document_id="d.id", granted=granted)


class DocumentAcl:
    """Gate over documents: an unexpired grant that satisfies the action, or no.

    Administrators manage grants of any document of their tenant, which is an audited act; they do not
    read or change one without a grant, unless ``admin_bypass``.
    """

    name = "documents.acl"
    stage: Literal["role", "resource"] = "resource"

    def __init__(self, *, admin_bypass: bool) -> None:
        self._admin_bypass = admin_bypass

    async def load(self, tx: Transaction, principal: Principal, document_id: str) -> Resource:
        """The document as ``principal`` stands to it, in one round trip. Raises ``Problem`` 404."""
        row = await tx.fetchrow(
            f"""SELECT d.id, d.owner, d.labels, {GRANTED} AS granted FROM documents.documents d
            WHERE d.tenant_id = ragwork.tenant() AND d.id = $2""",  # noqa: S608  # a constant of this module
            sorted(readers_of(principal)),
            document_id,
        )
        if row is None:
            raise not_found("document", document_id)
        return self.resource(row, principal, tx.tenant_id)

    def resource(self, row: Row, principal: Principal, tenant_id: str) -> Resource:
        """A document row with ``id``, ``owner``, ``labels`` and ``granted`` as what gates judge."""
        bypasses = self._bypasses(principal) and tenant_id == principal.tenant_id
        return Resource(
            kind=DOCUMENT,
            id=row["id"],
            tenant_id=tenant_id,
            owner=row["owner"],
            labels=row["labels"],
            permissions=EVERY_PERMISSION if bypasses else permissions(row["granted"]),
        )

    async def decide(
        self, principal: Principal, action: Action, resource: Resource | None, tx: Transaction | None
    ) -> Verdict:
        """Judges by ``resource.permissions``; abstains for what is not a document."""
        del tx  # the resource's loader has already asked the database
        if resource is None or resource.kind != DOCUMENT:
            return ABSTAIN
        needed = action.name.partition(".")[2]
        if resource.tenant_id == principal.tenant_id:
            if action.name == ADMINISTER.name:
                return ALLOW if principal.role >= Role.ADMIN else _denied(needed)
            if needed in resource.permissions:
                return ALLOW
        return _denied(needed)

    async def narrow(self, principal: Principal, action: Action, scope: ReadScope) -> ReadScope:
        """``scope`` within the documents that a grant lets ``principal`` read, whatever the action."""
        del action
        if self._bypasses(principal):
            return scope
        return all_of(scope, ReadableBy(readers_of(principal)))

    def _bypasses(self, principal: Principal) -> bool:
        return self._admin_bypass and principal.role >= Role.ADMIN


def _denied(permission: str) -> Deny:
    return Deny(
        "AUTHZ_DENIED",
        f"no grant on this document gives you {permission!r}",
        {"required_permission": permission},
    )
