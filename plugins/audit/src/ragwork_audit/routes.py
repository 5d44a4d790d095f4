"""The API of the log: list and filter, one event, the proof of one event, the newest checkpoint. Nothing changes it."""

import base64
from datetime import datetime
from typing import Final

import attrs
import orjson
from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.errors import Problem, not_found
from ragwork_hooks.fields import choice, identifier, number, text
from ragwork_hooks.http import AnyRoute, Empty, Page, Request
from ragwork_hooks.storage import Row
from ragwork_toolkit.paging import PageQuery, page_of
from ragwork_toolkit.routes import ops_route
from ragwork_toolkit.rows import from_row

from ragwork_audit.checking import proofs
from ragwork_audit.log import record
from ragwork_audit.sealing.signed_notes import Signer

READ: Final = Action(name="audit.read", role=Role.ADMIN)
_FEATURE: Final = "audit_access"
_MAX_ID: Final = 2**63 - 1
_COLUMNS: Final = """id, occurred_at, tenant_id, actor_type, actor_id, actor_role, event_type, outcome, resource_type,
    resource_id, request_id, client_request_id, ip_address, user_agent, metadata, repeats, error_code"""


@attrs.frozen(kw_only=True)
class EventsQuery(PageQuery):
    """``from_`` is ``from`` on the wire; the times are inclusive and exclusive."""

    #: Your tenant, or with platform scope any.
    tenant_id: str | None = identifier(default=None)
    #: Only events of this type. Example: "rbac.forbidden"
    event_type: str | None = text(default=None, min_length=1, max_length=128)
    #: Only what came to pass, or only what was refused.
    outcome: str | None = choice("success", "failure", default=None)
    #: Only what was done to things of this kind. Example: "document"
    resource_type: str | None = text(default=None, min_length=1, max_length=64)
    #: Only what was done to this thing.
    resource_id: str | None = text(default=None, min_length=1, max_length=512)
    #: Only events from this time on.
    from_: datetime | None = None
    #: Only events before this time.
    to: datetime | None = None


@attrs.frozen(kw_only=True)
class CheckpointQuery:
    """``consistent_with`` is the size of an earlier checkpoint, to be shown as this one's beginning."""

    #: Your tenant, or with platform scope any.
    tenant_id: str | None = identifier(default=None)
    #: The size of an earlier checkpoint that is to be shown as this one's beginning.
    consistent_with: int | None = number(default=None, ge=1, le=_MAX_ID)


@attrs.frozen(kw_only=True)
class TenantQuery:
    """Whose log."""

    #: Your tenant, or with platform scope any.
    tenant_id: str | None = identifier(default=None)


@attrs.frozen(kw_only=True)
class AuditEventResponse:
    """One record of the log."""

    #: Its number, growing with time. Example: 4711
    id: int
    #: When it happened.
    occurred_at: datetime
    #: Whose log it stands in; null for the platform's. Example: "t1"
    tenant_id: str | None
    #: What kind of caller it was: `api_key`, `sso_session`, `scim_token`, `agent`, `operator`, `system` or
    #: `anonymous`. Example: "api_key"
    actor_type: str
    #: Its credential or name. Example: "k_3f9a"
    actor_id: str | None
    #: Its role. Example: "admin"
    actor_role: str | None
    #: What happened. Example: "documents.deleted"
    event_type: str
    #: `success` or `failure`. Example: "success"
    outcome: str
    #: What kind of thing it was done to. Example: "document"
    resource_type: str | None
    #: Which one. Example: "leave"
    resource_id: str | None
    #: The request behind it. Example: "72c03e54-1d1c-4d06-9e19-0f607e817820"
    request_id: str | None
    #: Where the request came from. Example: "203.0.113.9"
    ip_address: str | None
    #: The program that sent it. Example: "curl/8.5"
    user_agent: str | None
    #: What else is known, secrets and texts left out. Example: {"corpus_id": "c1"}
    metadata_json: dict[str, object] | None
    #: Why it was refused; null if it was not. Example: null
    error_code: str | None
    #: When the record was written.
    created_at: datetime


@attrs.frozen(kw_only=True)
class AuditProofResponse:
    """``content`` is the text that the leaf hashes; hashes are base64, ``proof`` from the leaf upwards."""

    #: The event. Example: 4711
    event_id: int
    #: Its place in the tree, from 0. Example: 128
    seq: int
    #: The text that the leaf hashes. Example: "{\"id\":4711}"
    content: str
    #: SHA-256 of the leaf, base64. Example: "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="
    leaf_hash: str
    #: Records in the tree. Example: 512
    size: int
    #: Hashes from the leaf to the root, base64. Example: ["n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="]
    proof: list[str]
    #: The signed note of the tree. Example: "ragwork/t1\n512\n…"
    checkpoint: str
    #: The key that signed it. Example: "ragwork/t1+1f2e3d4c+AbCd"
    public_key: str


@attrs.frozen(kw_only=True)
class AuditCheckpointResponse:
    """``consistency`` shows that the tree of ``consistent_with`` records is this one's beginning."""

    #: Records in the tree. Example: 512
    size: int
    #: The signed note of the tree. Example: "ragwork/t1\n512\n…"
    checkpoint: str
    #: The key that signed it. Example: "ragwork/t1+1f2e3d4c+AbCd"
    public_key: str
    #: The earlier size that was asked about. Example: 256
    consistent_with: int | None
    #: Hashes that show it, base64; null if nothing was asked. Example:
    #: ["n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="]
    consistency: list[str] | None


class AuditApi:
    """Handlers and declarations of ``/v1/audit/…``."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def routes(self) -> tuple[AnyRoute, ...]:
        return (
            ops_route(
                name="audit.list", path="/v1/audit/events", summary="List audit events, newest first",
                handler=self.list, action=READ, feature=_FEATURE, stale_reads=True, transaction="read",
                response=Page[AuditEventResponse], query=EventsQuery,
                errors=("AUTH_FORBIDDEN", "FEATURE_NOT_ENABLED"), legacy=True,
            ),
            ops_route(
                name="audit.get", path="/v1/audit/events/{event_id}", summary="One audit event",
                handler=self.get, action=READ, feature=_FEATURE, stale_reads=True, transaction="read",
                response=AuditEventResponse, query=TenantQuery,
                errors=("AUTH_FORBIDDEN", "FEATURE_NOT_ENABLED", "NOT_FOUND"), legacy=True,
            ),
            ops_route(
                name="audit.proof", path="/v1/audit/events/{event_id}/proof",
                summary="Proof that an audit event is in the log", handler=self.proof, action=READ,
                feature=_FEATURE, stale_reads=True, transaction="read", response=AuditProofResponse,
                query=TenantQuery, errors=("AUTH_FORBIDDEN", "CONFLICT", "FEATURE_NOT_ENABLED", "NOT_FOUND"),
            ),
            ops_route(
                name="audit.checkpoint", path="/v1/audit/checkpoint",
                summary="The newest signed checkpoint, and proof that it extends an earlier one",
                handler=self.checkpoint, action=READ, feature=_FEATURE, stale_reads=True, transaction="read",
                response=AuditCheckpointResponse, query=CheckpointQuery,
                errors=("AUTH_FORBIDDEN", "CONFLICT", "FEATURE_NOT_ENABLED", "NOT_FOUND", "VALIDATION_ERROR"),
            ),
        )  # fmt: skip

    async def list(self, request: Request[Empty, EventsQuery]) -> Page[AuditEventResponse]:
        query = request.query
        rows = await request.tx.fetch(
            f"""SELECT {_COLUMNS} FROM audit.events
            WHERE tenant_id = ragwork.tenant()
                AND ($1::text IS NULL OR event_type = $1) AND ($2::text IS NULL OR outcome = $2)
                AND ($3::text IS NULL OR resource_type = $3) AND ($4::text IS NULL OR resource_id = $4)
                AND ($5::timestamptz IS NULL OR occurred_at >= $5)
                AND ($6::timestamptz IS NULL OR occurred_at < $6)
            ORDER BY id DESC LIMIT $7 OFFSET $8""",  # noqa: S608
            query.event_type,
            query.outcome,
            query.resource_type,
            query.resource_id,
            query.from_,
            query.to,
            query.limit + 1,
            query.offset,
        )
        return page_of([_response(row) for row in rows], query)

    async def get(self, request: Request[Empty, TenantQuery]) -> AuditEventResponse:
        event_id = _event_id(request.path["event_id"])
        row = await request.tx.fetchrow(
            f"SELECT {_COLUMNS} FROM audit.events WHERE tenant_id = ragwork.tenant() AND id = $1",  # noqa: S608
            event_id,
        )
        if row is None:
            raise not_found("audit event", request.path["event_id"])
        return _response(row)

    async def proof(self, request: Request[Empty, TenantQuery]) -> AuditProofResponse:
        row = await proofs.place(request.tx, _event_id(request.path["event_id"]))
        signed = await proofs.checkpoint(request.tx)
        if row["seq"] >= signed["size"]:
            raise Problem("CONFLICT", "the event's checkpoint is not signed yet; ask again in a second")
        return AuditProofResponse(
            event_id=row["id"],
            seq=row["seq"],
            content=record.content(request.tx.tenant_id, row).decode(),
            leaf_hash=_b64(row["leaf"]),
            size=signed["size"],
            proof=[_b64(h) for h in await proofs.inclusion(request.tx, row["seq"], signed["size"])],
            checkpoint=signed["note"],
            public_key=self._signer.verifier_key,
        )

    async def checkpoint(self, request: Request[Empty, CheckpointQuery]) -> AuditCheckpointResponse:
        signed = await proofs.checkpoint(request.tx)
        old = request.query.consistent_with
        path = None if old is None else await proofs.consistency(request.tx, old, signed["size"])
        return AuditCheckpointResponse(
            size=signed["size"],
            checkpoint=signed["note"],
            public_key=self._signer.verifier_key,
            consistent_with=old,
            consistency=None if path is None else [_b64(h) for h in path],
        )


def _event_id(given: str) -> int:
    if not given.isascii() or not given.isdecimal() or len(given) > 19 or int(given) > _MAX_ID:
        raise not_found("audit event", given)
    return int(given)


def _response(row: Row) -> AuditEventResponse:
    metadata: dict[str, object] = orjson.loads(row["metadata"]) if row["metadata"] else {}
    if row["repeats"]:
        metadata["repeats"] = row["repeats"]
    if row["client_request_id"]:
        metadata["client_request_id"] = row["client_request_id"]
    return from_row(AuditEventResponse, row, metadata_json=metadata or None, created_at=row["occurred_at"])


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
