"""Retention: the oldest records go, and a signed cut stays that stands for them in every later proof."""

import asyncio
from typing import Final

from ragwork_hooks.services import Services
from ragwork_hooks.storage import Row, Transaction
from ragwork_toolkit.tenants import visit

from ragwork_audit.checking.verification import check_cut
from ragwork_audit.sealing.anchors import AnchorFiles
from ragwork_audit.sealing.merkle import Frontier
from ragwork_audit.sealing.signed_notes import NoteVerifier, Signer, Statement, digest, month_of

#: Records removed in one transaction.
STEP: Final = 5_000

_CUT: Final = "SELECT size, frontier, note FROM audit.cuts WHERE tenant_id = ragwork.tenant()"
# Records leave in the order of their places: one that is younger than the limit keeps all after it.
_EXPIRED: Final = f"""SELECT s.leaf, clock_timestamp() AS now, e.occurred_at < now() - make_interval(days => $2) AS old
    FROM audit.seals s JOIN audit.events e ON e.tenant_id = s.tenant_id AND e.id = s.event_id
    WHERE s.tenant_id = ragwork.tenant() AND s.seq >= $1
    ORDER BY s.seq LIMIT {STEP}"""  # noqa: S608
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('ragwork.audit/' || ragwork.tenant(), 0))"


class Pruning:
    """Removes what is older than ``retention_days`` by database time, tenant by tenant."""

    def __init__(
        self,
        services: Services,
        signer: Signer,
        verifier: NoteVerifier,
        anchors: AnchorFiles,
        retention_days: int,
    ) -> None:
        self._services = services
        self._signer = signer
        self._verifier = verifier
        self._anchors = anchors
        self._retention_days = retention_days

    async def run(self) -> int:
        """How many records went. Raises ``RuntimeError`` naming the tenants that failed, as one does whose cut is not
        as it was signed.
        """
        async with self._services.db.anonymous() as tx:
            tenants = [
                row["id"] for row in await tx.fetch("SELECT t.id FROM audit.tenants() AS t(id) ORDER BY 1")
            ]
        return (await visit(tenants, self.prune)).complete()

    async def prune(self, tenant_id: str) -> int:
        """How many records of one tenant went.

        Raises ``VerificationFailed`` for a log whose cut is not as it was signed.
        """
        total = 0
        while True:
            async with self._services.db.tenant(tenant_id) as tx:
                removed, note = await self._step(tx)
            if note is not None:
                await asyncio.to_thread(self._anchors.add, tenant_id, note)
                await asyncio.to_thread(self._anchors.forget_before, tenant_id, month_of(note))
            total += removed
            if removed < STEP:
                return total

    async def _step(self, tx: Transaction) -> tuple[int, str | None]:
        await tx.execute(_LOCK)
        last = await tx.fetchrow(_CUT)
        tree = self._tree(tx.tenant_id, last)
        rows = await tx.fetch(_EXPIRED, tree.size, self._retention_days)
        for row in rows:
            if not row["old"]:
                break
            tree.add(row["leaf"])
        if not rows or tree.size == (0 if last is None else last["size"]):
            return 0, None
        note = self._signer.sign(
            Statement(
                kind="cut",
                tenant_id=tx.tenant_id,
                size=tree.size,
                root=tree.root(),
                time=rows[0]["now"].isoformat(timespec="microseconds"),
                previous="" if last is None else digest(last["note"]),
                low=0,
                cluster="",
            )
        )
        removed = await tx.fetchval("SELECT audit.cut($1, $2, $3)", tree.size, tree.packed(), note)
        return int(removed), note

    def _tree(self, tenant_id: str, last: Row | None) -> Frontier:
        if last is None:
            return Frontier()
        return check_cut(self._verifier, tenant_id, last["size"], last["frontier"], last["note"])
