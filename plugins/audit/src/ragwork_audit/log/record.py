"""One record: its columns as they are written, and the bytes of it that are hashed.

Everything hashed is text, a number or a time that Postgres gives back as it was put in: metadata are kept
as the very JSON text that was hashed, so no storage format can change a hash.
"""

import hashlib
import hmac
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import attrs
import orjson
from ragwork_hooks.audit import AuditEvent, Origin
from ragwork_hooks.redaction import Redactor
from ragwork_hooks.storage import Row

from ragwork_audit.log.redaction import MAX_METADATA, clean, clean_text
from ragwork_audit.sealing.merkle import leaf_hash
from ragwork_audit.sealing.signed_notes import KEY_ID_BYTES, Signer

#: Columns that the writer gives, in the order of the INSERT.
WRITTEN: Final = (
    "actor_type", "actor_id", "actor_role", "event_type", "outcome", "resource_type", "resource_id",
    "request_id", "client_request_id", "ip_address", "user_agent", "metadata", "repeats", "error_code",
)  # fmt: skip
#: All columns that are hashed besides the tenant's id; ``id``, ``xid`` and ``occurred_at`` are the database's.
HASHED: Final = ("id", "xid", "occurred_at", *WRITTEN, "voucher")
COLUMNS: Final = ", ".join(f"e.{name}" if name != "xid" else "e.xid::text AS xid" for name in HASHED)
_NONCE_BYTES: Final = 12
_MAC_BYTES: Final = 32
_LIMITS: Final = {
    "actor_type": 32, "actor_id": 256, "actor_role": 32, "event_type": 128, "resource_type": 64,
    "resource_id": 512, "request_id": 128, "client_request_id": 128, "ip_address": 64, "user_agent": 256,
    "error_code": 64,
}  # fmt: skip

Value = str | int | None


def columns(event: AuditEvent, repeats: int, redactor: Redactor) -> dict[str, Value]:
    """What is written of ``event``: bounded, redacted, without control characters."""
    given = {
        "actor_type": event.actor_type,
        "actor_id": event.actor_id,
        "actor_role": event.actor_role,
        "event_type": event.type,
        "resource_type": event.resource_type,
        "resource_id": event.resource_id,
        "error_code": event.error_code,
        **_request(event.origin),
    }
    kept: dict[str, Value] = {
        name: None if value is None else clean_text(value, redactor, _LIMITS[name])
        for name, value in given.items()
    }
    return kept | {
        "outcome": event.outcome,
        "metadata": _metadata(event.metadata, redactor),
        "repeats": repeats,
    }


def _request(origin: Origin | None) -> dict[str, str | None]:
    """The server's own request id counts; the client's stands beside it when it differs."""
    if origin is None:
        return dict.fromkeys(("request_id", "client_request_id", "ip_address", "user_agent"))
    return {
        "request_id": origin.request_id,
        "client_request_id": origin.echo_id if origin.echo_id != origin.request_id else None,
        "ip_address": origin.peer,
        "user_agent": origin.user_agent or None,
    }


def _metadata(metadata: Mapping[str, object], redactor: Redactor) -> str | None:
    if not metadata:
        return None
    text = orjson.dumps(clean(metadata, redactor), option=orjson.OPT_SORT_KEYS).decode()
    if len(text.encode()) <= MAX_METADATA:
        return text
    names = sorted(clean_text(str(name), redactor, 64) for name in metadata)[:50]
    return orjson.dumps({"too_large_bytes": len(text.encode()), "names": names}).decode()


def content(tenant_id: str, row: Mapping[str, object]) -> bytes:
    """The bytes of a stored record that its leaf hashes: RFC 8785 JSON whose values are texts or null."""
    return _canonical(tenant_id, row, HASHED)


def leaf(tenant_id: str, row: Mapping[str, object]) -> bytes:
    """The leaf hash of a stored record, 32 bytes."""
    return leaf_hash(content(tenant_id, row))


def _canonical(tenant_id: str, row: Mapping[str, object], names: tuple[str, ...]) -> bytes:
    texts = {name: _text(row[name]) for name in names}
    return orjson.dumps({"tenant_id": tenant_id, **texts}, option=orjson.OPT_SORT_KEYS)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


@attrs.frozen
class RowAuthentication:
    """Vouches for rows until they are sealed: a row that another hand inserts or edits before is not sealed.

    A voucher is the key's id (4 bytes), a nonce (12) and HMAC-SHA256 over both and what was written (32).
    """

    signer: Signer

    def voucher(self, tenant_id: str, written: Mapping[str, Value]) -> bytes:
        """For a record about to be written."""
        head = self.signer.row_key_id + os.urandom(_NONCE_BYTES)
        return head + self._mac(head, tenant_id, written)

    def mine(self, row: Row) -> bool:
        """Whether this log's present key made the row's voucher, genuine or not."""
        return bytes(row["voucher"][:KEY_ID_BYTES]) == self.signer.row_key_id

    def genuine(self, tenant_id: str, row: Row) -> bool:
        """Whether the row is as it was written."""
        head, mac = row["voucher"][:-_MAC_BYTES], row["voucher"][-_MAC_BYTES:]
        return self.mine(row) and hmac.compare_digest(mac, self._mac(head, tenant_id, row))

    def _mac(self, head: bytes, tenant_id: str, row: Mapping[str, object]) -> bytes:
        return hmac.digest(self.signer.row_key, head + _canonical(tenant_id, row, WRITTEN), hashlib.sha256)
