"""Sealing: each committed record gets its place and leaf, each batch a signed checkpoint, within a second.

Writers take no lock and no counter. One sealer at a time per tenant, by an advisory lock; the primary keys of
places and checkpoints make a fork impossible even without it. What is visible is committed, so it is sealed at
once; a slower transaction with a smaller id comes later and gets a later place.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

import attrs
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Row, Transaction

from ragwork_audit.log import record
from ragwork_audit.log.record import COLUMNS, RowAuthentication
from ragwork_audit.sealing.anchors import AnchorFiles, Journal
from ragwork_audit.sealing.merkle import Frontier
from ragwork_audit.sealing.signed_notes import InvalidNote, NoteVerifier, Signer, Statement, digest

log = logging.getLogger(__name__)

#: Hashing a batch holds the event loop for about a millisecond.
BATCH: Final = 128
_AT_ONCE: Final = 4
_TOLD: Final = 1000

_LOCK: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended('ragwork.audit/' || ragwork.tenant(), 0))"
_LAST: Final = """SELECT size, frontier, note FROM audit.checkpoints
    WHERE tenant_id = ragwork.tenant() ORDER BY size DESC LIMIT 1"""
# Rows of finished transactions below low were visible to the sealing that wrote low. A restored database counts
# transactions anew, so low is only believed on the cluster that it comes from.
_WAITING: Final = f"""SELECT here.low, here.cluster, clock_timestamp() AS now, {COLUMNS}
    FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS low,
                 (SELECT system_identifier::text FROM pg_control_system()) AS cluster) here
    LEFT JOIN LATERAL (
        SELECT * FROM audit.events e
        WHERE e.tenant_id = ragwork.tenant()
            AND e.xid >= CASE WHEN here.cluster = $2 THEN $1::text ELSE '0' END::xid8
            AND NOT EXISTS (
                SELECT FROM audit.seals s WHERE s.tenant_id = ragwork.tenant() AND s.event_id = e.id)
            AND e.id > $3
        ORDER BY e.id LIMIT {BATCH}) e ON true
    ORDER BY e.id"""  # noqa: S608
#: Writes a batch's places, subtrees and checkpoint, all or nothing: a primary key refuses a second tree.
_SEAL: Final = """WITH places AS (
        INSERT INTO audit.seals (tenant_id, seq, event_id, leaf)
        SELECT ragwork.tenant(), s.* FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) s
    ), subtrees AS (
        INSERT INTO audit.nodes (tenant_id, level, place, hash)
        SELECT ragwork.tenant(), n.* FROM unnest($4::smallint[], $5::bigint[], $6::bytea[]) n
    )
    INSERT INTO audit.checkpoints (tenant_id, size, low, cluster, frontier, note)
    VALUES (ragwork.tenant(), $7, $8::text::xid8, $9, $10, $11)"""


@attrs.frozen(kw_only=True)
class _Batch:
    """What there is to seal, and the statement that it continues."""

    rows: Sequence[Row]
    tree: Frontier
    previous: str
    low: int
    cluster: str
    now: str


@attrs.define
class _Pass:
    """One pass over a tenant's unsealed records. ``horizon`` is the first batch's: what is finished below it was
    visible then, and lies before or behind ``after``.
    """

    after: int = 0
    horizon: int | None = None
    full: bool = True


class Sealer:
    """Seals one tenant at a time and anchors what it signed."""

    def __init__(
        self,
        services: Services,
        signer: Signer,
        verifier: NoteVerifier,
        row_authentication: RowAuthentication,
        journal: Journal,
        anchors: AnchorFiles,
    ) -> None:
        self._services = services
        self._signer = signer
        self._verifier = verifier
        self._row_authentication = row_authentication
        self._journal = journal
        self._anchors = anchors
        self._dirty: set[str] = set()
        self._told: set[tuple[str, int]] = set()
        self._unanchored = False

    def mark(self, tenant_id: str) -> None:
        """The tenant has something to seal."""
        self._dirty.add(tenant_id)

    async def seal_marked(self) -> None:
        """Seal every marked tenant; one that fails stays marked. Raises the first failure."""
        marked, self._dirty = self._dirty, set()
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(tenant_id: str) -> None:
            async with limit:
                try:
                    await self.seal(tenant_id)
                except BaseException:
                    self._dirty.add(tenant_id)
                    raise

        results = await asyncio.gather(*map(one, sorted(marked)), return_exceptions=True)
        self._journal.tidy()
        for error in results:
            if isinstance(error, BaseException):
                raise error

    async def sweep(self) -> None:
        """Mark tenants whose writer died before sealing."""
        async with self._services.db.anonymous() as tx:
            rows = await tx.fetch("SELECT t.id FROM audit.unsealed() AS t(id)")
        self._dirty.update(row["id"] for row in rows)

    async def seal(self, tenant_id: str) -> None:
        """Seal all that is committed for the tenant, or leave it to the process that is doing so."""
        witnessed = dict(self._journal.waiting(tenant_id))
        run = _Pass()
        while run.full:
            async with self._services.db.tenant(tenant_id) as tx:
                if not await tx.fetchval(_LOCK):
                    self._dirty.add(tenant_id)
                    return
                note = await self._batch(tx, run)
            if note is not None:
                await self._anchor(tenant_id, note)
        if witnessed:
            await self._release(tenant_id, witnessed)

    def check(self) -> None:
        """Raises when the last anchor could not be written."""
        if self._unanchored:
            raise OSError(f"audit anchors can't be written to {self._anchors.folder}")

    async def _batch(self, tx: Transaction, run: _Pass) -> str | None:
        """Seal the next records; the tenant's last note, ``None`` when it has none."""
        last = await tx.fetchrow(_LAST)
        batch = await self._read(tx, last, run)
        hashed = {row["id"]: record.leaf(tx.tenant_id, row) for row in batch.rows}
        rows = [row for row in batch.rows if self._vouched(tx.tenant_id, row, hashed[row["id"]])]
        if not rows:
            return None if last is None else str(last["note"])
        first = batch.tree.size
        leaves = [hashed[row["id"]] for row in rows]
        nodes = [node for leaf in leaves for node in batch.tree.add(leaf)]
        note = self._signer.sign(self._statement(tx.tenant_id, batch))
        await tx.execute(
            _SEAL,
            list(range(first, first + len(rows))),
            [row["id"] for row in rows],
            leaves,
            *([node[part] for node in nodes] for part in range(3)),
            batch.tree.size,
            str(batch.low),
            batch.cluster,
            batch.tree.packed(),
            note,
        )
        return note

    async def _read(self, tx: Transaction, last: Row | None, run: _Pass) -> _Batch:
        before = self._continued(tx.tenant_id, last)
        found = await tx.fetch(_WAITING, str(before.low), before.cluster, run.after)
        here = found[0]
        rows = [row for row in found if row["id"] is not None]
        if run.horizon is None:
            run.horizon = int(here["low"])
        run.full = len(rows) == BATCH
        run.after = rows[-1]["id"] if rows else run.after
        same = before.cluster == here["cluster"]
        # What a later batch or another key has yet to seal is searched for again from the same place.
        left = run.full or any(not self._row_authentication.mine(row) for row in rows)
        low = (before.low if same else 0) if left else run.horizon
        now = here["now"].isoformat(timespec="microseconds")
        return attrs.evolve(before, rows=rows, low=low, cluster=here["cluster"], now=now)

    def _continued(self, tenant_id: str, last: Row | None) -> _Batch:
        """The log as its last checkpoint left it. One that is not as it was signed is told, and continued: records
        without a seal would be worse off, and verification finds the place.
        """
        if last is None:
            return _Batch(rows=(), tree=Frontier(), previous="", low=0, cluster="", now="")
        tree = Frontier(last["size"], last["frontier"])
        try:
            statement = self._verifier.open(last["note"], "checkpoint", tenant_id)
            if (statement.size, statement.root) != (tree.size, tree.root()):
                raise InvalidNote("does not fit its tree")
        except InvalidNote as error:
            self._alarm(f"the last audit checkpoint of tenant {tenant_id} {error}")
            return _Batch(rows=(), tree=tree, previous=digest(last["note"]), low=0, cluster="", now="")
        return _Batch(
            rows=(), tree=tree, previous=digest(last["note"]), low=statement.low,
            cluster=statement.cluster, now="",
        )  # fmt: skip

    @staticmethod
    def _statement(tenant_id: str, batch: _Batch) -> Statement:
        return Statement(
            kind="checkpoint", tenant_id=tenant_id, size=batch.tree.size, root=batch.tree.root(), time=batch.now,
            previous=batch.previous, low=batch.low, cluster=batch.cluster,
        )  # fmt: skip

    def _vouched(self, tenant_id: str, row: Row, leaf: bytes) -> bool:
        """Whether the row is as this deployment wrote it; one that is not stays unsealed and is told once."""
        witnessed = self._journal.waiting(tenant_id).get(row["id"])
        if witnessed in (None, leaf) and self._row_authentication.genuine(tenant_id, row):
            return True
        if self._row_authentication.mine(row):
            self._tell(tenant_id, row["id"], "was not written by this log and is not sealed")
        return False

    def _tell(self, tenant_id: str, event_id: int, what: str) -> None:
        if (tenant_id, event_id) not in self._told and len(self._told) < _TOLD:
            self._told.add((tenant_id, event_id))
            self._alarm(f"audit record {event_id} of tenant {tenant_id} {what}")

    def _alarm(self, message: str) -> None:
        log.error("%s; run `ragwork audit verify`", message)
        self._services.metrics.count("audit_tampering_total", "Signs of a changed audit log")

    async def _anchor(self, tenant_id: str, note: str) -> None:
        try:
            await asyncio.to_thread(self._anchors.add, tenant_id, note)
        except OSError as error:
            self._unanchored = True
            self._dirty.add(tenant_id)
            log.error("audit anchor of tenant %s can't be written: %s", tenant_id, error)
        else:
            self._unanchored = False

    async def _release(self, tenant_id: str, witnessed: Mapping[int, bytes]) -> None:
        """Drop from the journal what is sealed as it was committed; the rest stays as evidence."""
        async with self._services.db.tenant(tenant_id, "read") as tx:
            rows = await tx.fetch(
                """SELECT event_id, leaf FROM audit.seals
                WHERE tenant_id = ragwork.tenant() AND event_id = ANY ($1::bigint[])""",
                list(witnessed),
            )
        good = {row["event_id"] for row in rows if row["leaf"] == witnessed[row["event_id"]]}
        self._journal.sealed(tenant_id, good)
        for event_id in witnessed.keys() - good:
            self._tell(tenant_id, event_id, "was committed and is gone or changed")
