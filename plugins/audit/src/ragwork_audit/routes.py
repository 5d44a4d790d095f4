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
from ragwork_hooks.http import AnyRoute, Call, NoFields, Page, Route
from ragwork_hooks.storage import Row

from ragwork_audit import proofs, record
from ragwork_audit.notes import Signer

READ: Final = Action(name="audit.read", role=Role.ADMIN)
_FEATURE: Final = "audit_access"
_MAX_ID: Final = 2**63 - 1
_COLUMNS: Final = """id, occurred_at, tenant_id, actor_type, actor_id, actor_role, event_type, outcome, resource_type,
    resource_id, request_id, client_request_id, ip_address, user_agent, metadata, repeats, error_code"""


@attrs.frozen(kw_only=True)
class EventsQuery:
    """``from_`` is ``from`` on the wire; the times are inclusive and exclusive."""

    tenant_id: str | None = identifier(default=None)
    event_type: str | None = text(default=None, min_length=1, max_length=128)
    outcome: str | None = choice("success", "failure", default=None)
    resource_type: str | None = text(default=None, min_length=1, max_length=64)
    resource_id: str | None = text(default=None, min_length=1, max_length=512)
    from_: datetime | None = None
    to: datetime | None = None
    offset: int = number(default=0, ge=0, le=1_000_000)
    limit: int = number(default=50, ge=1, le=200)


@attrs.frozen(kw_only=True)
class CheckpointQuery:
    """``consistent_with`` is the size of an earlier checkpoint, to be shown as this one's beginning."""

    tenant_id: str | None = identifier(default=None)
    consistent_with: int | None = number(default=None, ge=1, le=_MAX_ID)


@attrs.frozen(kw_only=True)
class TenantQuery:
    tenant_id: str | None = identifier(default=None)


@attrs.frozen(kw_only=True)
class AuditEventResponse:
    id: int
    occurred_at: datetime
    tenant_id: str | None
    actor_type: str
    actor_id: str | None
    actor_role: str | None
    event_type: str
    outcome: str
    resource_type: str | None
    resource_id: str | None
    request_id: str | None
    ip_address: str | None
    user_agent: str | None
    metadata_json: dict[str, object] | None
    error_code: str | None
    created_at: datetime


@attrs.frozen(kw_only=True)
class AuditProofResponse:
    """``content`` is the text that the leaf hashes; hashes are base64, ``proof`` from the leaf upwards."""

    event_id: int
    seq: int
    content: str
    leaf_hash: str
    size: int
    proof: list[str]
    checkpoint: str
    public_key: str


@attrs.frozen(kw_only=True)
class AuditCheckpointResponse:
    """``consistency`` shows that the tree of ``consistent_with`` records is this one's beginning."""

    size: int
    checkpoint: str
    public_key: str
    consistent_with: int | None
    consistency: list[str] | None


class AuditApi:
    """Handlers and declarations of ``/v1/audit/…``."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def routes(self) -> tuple[AnyRoute, ...]:
        return (
            Route(
                name="audit.list", method="GET", path="/v1/audit/events", summary="List audit events, newest first",
                handler=self.list, scope="tenant", action=READ, rate_class="ops", idempotency="none",
                audit_event=None, feature=_FEATURE, stale_reads=True, transaction="read",
                response=Page[AuditEventResponse], query=EventsQuery,
                errors=("AUTH_FORBIDDEN", "FEATURE_NOT_ENABLED"), legacy=True,
            ),
            Route(
                name="audit.get", method="GET", path="/v1/audit/events/{event_id}", summary="One audit event",
                handler=self.get, scope="tenant", action=READ, rate_class="ops", idempotency="none",
                audit_event=None, feature=_FEATURE, stale_reads=True, transaction="read",
                response=AuditEventResponse, query=TenantQuery,
                errors=("AUTH_FORBIDDEN", "FEATURE_NOT_ENABLED", "NOT_FOUND"), legacy=True,
            ),
            Route(
                name="audit.proof", method="GET", path="/v1/audit/events/{event_id}/proof",
                summary="Proof that an audit event is in the log", handler=self.proof, scope="tenant", action=READ,
                rate_class="ops", idempotency="none", audit_event=None, feature=_FEATURE, stale_reads=True,
                transaction="read", response=AuditProofResponse, query=TenantQuery,
                errors=("AUTH_FORBIDDEN", "CONFLICT", "FEATURE_NOT_ENABLED", "NOT_FOUND"),
            ),
            Route(
                name="audit.checkpoint", method="GET", path="/v1/audit/checkpoint",
                summary="The newest signed checkpoint, and proof that it extends an earlier one",
                handler=self.checkpoint, scope="tenant", action=READ, rate_class="ops", idempotency="none",
                audit_event=None, feature=_FEATURE, stale_reads=True, transaction="read",
                response=AuditCheckpointResponse, query=CheckpointQuery,
                errors=("AUTH_FORBIDDEN", "CONFLICT", "FEATURE_NOT_ENABLED", "NOT_FOUND", "VALIDATION_ERROR"),
            ),
        )  # fmt: skip

    async def list(self, call: Call[NoFields, EventsQuery]) -> Page[AuditEventResponse]:
        query = call.query
        rows = await call.tx.fetch(
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
        more = len(rows) > query.limit
        return Page(
            items=[_response(row) for row in rows[: query.limit]],
            next_offset=query.offset + query.limit if more else None,
        )

    async def get(self, call: Call[NoFields, TenantQuery]) -> AuditEventResponse:
        event_id = _event_id(call.path["event_id"])
        row = await call.tx.fetchrow(
            f"SELECT {_COLUMNS} FROM audit.events WHERE tenant_id = ragwork.tenant() AND id = $1",  # noqa: S608
            event_id,
        )
        if row is None:
            raise not_found("audit event", call.path["event_id"])
        return _response(row)

    async def proof(self, call: Call[NoFields, TenantQuery]) -> AuditProofResponse:
        row = await proofs.place(call.tx, _event_id(call.path["event_id"]))
        signed = await proofs.checkpoint(call.tx)
        if row["seq"] >= signed["size"]:
            raise Problem("CONFLICT", "the event's checkpoint is not signed yet; ask again in a second")
        return AuditProofResponse(
            event_id=row["id"],
            seq=row["seq"],
            content=record.content(call.tx.tenant_id, row).decode(),
            leaf_hash=_b64(row["leaf"]),
            size=signed["size"],
            proof=[_b64(h) for h in await proofs.inclusion(call.tx, row["seq"], signed["size"])],
            checkpoint=signed["note"],
            public_key=self._signer.verifier_key,
        )

    async def checkpoint(self, call: Call[NoFields, CheckpointQuery]) -> AuditCheckpointResponse:
        signed = await proofs.checkpoint(call.tx)
        old = call.query.consistent_with
        path = None if old is None else await proofs.consistency(call.tx, old, signed["size"])
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
    return AuditEventResponse(
        id=row["id"],
        occurred_at=row["occurred_at"],
        tenant_id=row["tenant_id"],
        actor_type=row["actor_type"],
        actor_id=row["actor_id"],
        actor_role=row["actor_role"],
        event_type=row["event_type"],
        outcome=row["outcome"],
        resource_type=row["resource_type"],
        resource_id=row["resource_id"],
        request_id=row["request_id"],
        ip_address=row["ip_address"],
        user_agent=row["user_agent"],
        metadata_json=metadata or None,
        error_code=row["error_code"],
        created_at=row["occurred_at"],
    )


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
