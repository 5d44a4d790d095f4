"""The capability ``AuditLog``: one INSERT in the transaction of the act."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from ragwork_hooks.audit import AuditEvent, EventCount
from ragwork_hooks.redaction import Redactor
from ragwork_hooks.storage import Transaction

from ragwork_audit.log import record
from ragwork_audit.log.record import WRITTEN, RowAuthentication
from ragwork_audit.log.repeat_suppression import RepeatSuppressor
from ragwork_audit.sealing.anchors import Journal, Unsealed

_NAMES: Final = ", ".join(WRITTEN)
_PLACES: Final = ", ".join(f"${n}" for n in range(3, 3 + len(WRITTEN)))
_APPEND: Final = f"""INSERT INTO audit.events (tenant_id, voucher, {_NAMES})
    VALUES ($1, $2, {_PLACES}) RETURNING id, xid::text AS xid, occurred_at"""  # noqa: S608


class PostgresAuditLog:
    """Implements ``ragwork_hooks.audit.AuditLog``. ``sealable`` is told of a tenant that has something to seal."""

    def __init__(
        self,
        row_authentication: RowAuthentication,
        journal: Journal,
        suppressor: RepeatSuppressor,
        sealable: Callable[[str], None],
        redactor: Redactor,
    ) -> None:
        self._redactor = redactor
        self._row_authentication = row_authentication
        self._journal = journal
        self._suppressor = suppressor
        self._sealable = sealable

    async def append(self, tx: Transaction, event: AuditEvent) -> None:
        """Record ``event``; a raise leaves the transaction unable to commit."""
        repeats = self._suppressor.owed(tx.tenant_id, event)
        await self._insert(tx, event, repeats, repeats)

    async def append_repeats(self, tx: Transaction, event: AuditEvent) -> None:
        """Record the rest of a flood that is over: ``event`` stands for itself and those before it."""
        owed = self._suppressor.owed(tx.tenant_id, event)
        if owed:
            await self._insert(tx, event, owed - 1, owed)

    def takes(self, tenant_id: str, event: AuditEvent) -> bool:
        return self._suppressor.takes(tenant_id, event)

    async def tally(self, tx: Transaction, event_type: str, since: datetime) -> EventCount:
        row = await tx.fetchrow(
            """SELECT COALESCE(sum(1 + repeats), 0)::bigint AS count, max(occurred_at) AS last_at
            FROM audit.events WHERE tenant_id = ragwork.tenant() AND event_type = $1 AND occurred_at >= $2""",
            event_type,
            since,
        )
        assert row is not None  # an aggregate always has a row
        return EventCount(count=row["count"], last_at=row["last_at"])

    async def _insert(self, tx: Transaction, event: AuditEvent, repeats: int, paid: int) -> None:
        written = record.columns(event, repeats, self._redactor)
        voucher = self._row_authentication.voucher(tx.tenant_id, written)
        made = await tx.fetchrow(_APPEND, tx.tenant_id, voucher, *(written[name] for name in WRITTEN))
        if made is None:
            raise RuntimeError("the audit record was not written")
        row = {**written, **made, "voucher": voucher}
        tx.on_commit(lambda: self._committed(tx.tenant_id, row))
        if paid:
            tx.on_commit(lambda: self._suppressor.paid(tx.tenant_id, event, paid))

    def _committed(self, tenant_id: str, row: Mapping[str, object]) -> None:
        event_id = row["id"]
        assert isinstance(event_id, int)
        self._journal.note(Unsealed(tenant_id, event_id, record.leaf(tenant_id, row)))
        self._sealable(tenant_id)
