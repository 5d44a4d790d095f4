"""Does a tenant's log say what was written: every record, its place, every signed statement, every anchor.

One pass in the order of places. It stops at the first thing that is wrong.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs
from ragwork_hooks.storage import Row, Transaction

from ragwork_audit.log import record
from ragwork_audit.log.record import COLUMNS, RowAuthentication
from ragwork_audit.sealing.anchors import Unsealed
from ragwork_audit.sealing.merkle import Frontier, Stored
from ragwork_audit.sealing.signed_notes import InvalidNote, Kind, NoteVerifier, Statement, digest, kind_of

_PAGE: Final = 1000

_PLACES: Final = f"""SELECT s.seq, s.event_id, s.leaf, {COLUMNS}
    FROM audit.seals s LEFT JOIN audit.events e ON e.tenant_id = s.tenant_id AND e.id = s.event_id
    WHERE s.tenant_id = ragwork.tenant() AND s.seq > $1 ORDER BY s.seq LIMIT {_PAGE}"""  # noqa: S608
_CHECKPOINTS: Final = """SELECT size, low::text AS low, cluster, frontier, note FROM audit.checkpoints
    WHERE tenant_id = ragwork.tenant() AND size > $1 AND size <= $2 ORDER BY size"""
_UNSEALED: Final = f"""SELECT {COLUMNS} FROM audit.events e
    WHERE e.tenant_id = ragwork.tenant() AND e.id > $1
        AND NOT EXISTS (SELECT FROM audit.seals s WHERE s.tenant_id = ragwork.tenant() AND s.event_id = e.id)
    ORDER BY e.id LIMIT {_PAGE}"""  # noqa: S608
_COPIES: Final = """SELECT min(id) AS id FROM audit.events WHERE tenant_id = ragwork.tenant()
    GROUP BY voucher HAVING count(*) > 1 LIMIT 1"""
_BY_ID: Final = f"""SELECT {COLUMNS} FROM audit.events e
    WHERE e.tenant_id = ragwork.tenant() AND e.id = ANY ($1::bigint[])"""  # noqa: S608


@attrs.frozen(kw_only=True)
class VerificationFailed(Exception):
    """The first thing that is wrong. ``event_id`` is the record's, ``seq`` its place, where they are known."""

    reason: str
    event_id: int | None = None
    seq: int | None = None


@attrs.frozen(kw_only=True)
class Report:
    """What verification of one tenant found. ``checked`` counts sealed records that were found good, ``unsealed``
    good ones that wait for their seal; ``pruned`` those that a signed cut stands for.
    """

    tenant_id: str
    checked: int
    unsealed: int
    pruned: int
    anchors: int
    broken: VerificationFailed | None

    @property
    def valid(self) -> bool:
        return self.broken is None


@attrs.frozen(kw_only=True)
class Witnesses:
    """What is known outside the database: signed notes, and leaves of records that were not sealed yet."""

    notes: Sequence[str] = ()
    unsealed: Sequence[Unsealed] = ()
    damage: str | None = None


class Verification:
    """Verifies one tenant in a transaction that has not read anything yet."""

    def __init__(
        self, verifier: NoteVerifier, row_authentication: RowAuthentication, witnesses: Witnesses
    ) -> None:
        self._verifier = verifier
        self._row_authentication = row_authentication
        self._witnesses = witnesses
        self._tree = Frontier()
        self._nodes: dict[Stored, bytes] = {}
        self._anchored: dict[int, bytes] = {}
        self._checked = self._unsealed = self._pruned = 0
        self._previous: str | None = ""

    async def run(self, tx: Transaction) -> Report:
        """The report. All is read in one snapshot."""
        await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        broken: VerificationFailed | None = None
        try:
            self._read_anchors(tx.tenant_id)
            await self._check_cut(tx)
            await self._check_places(tx)
            self._check_nothing_missing()
            await self._check_nodes(tx)
            await self._check_unsealed(tx)
            await self._check_witnessed(tx)
        except VerificationFailed as found:
            broken = found
        return Report(
            tenant_id=tx.tenant_id, checked=self._checked, unsealed=self._unsealed, pruned=self._pruned,
            anchors=len(self._witnesses.notes), broken=broken,
        )  # fmt: skip

    def _read_anchors(self, tenant_id: str) -> None:
        if self._witnesses.damage is not None:
            raise VerificationFailed(reason=f"an anchor file is damaged: {self._witnesses.damage}")
        self._anchored = anchored_roots(self._verifier, self._witnesses.notes, tenant_id)

    async def _check_cut(self, tx: Transaction) -> None:
        cuts = await tx.fetch(
            "SELECT size, frontier, note FROM audit.cuts WHERE tenant_id = ragwork.tenant() ORDER BY size DESC"
        )
        if not cuts:
            return
        if len(cuts) > 1:
            raise VerificationFailed(reason="there is more than one cut")
        self._tree = check_cut(
            self._verifier, tx.tenant_id, cuts[0]["size"], cuts[0]["frontier"], cuts[0]["note"]
        )
        self._pruned = self._tree.size
        self._previous = None  # the statement before the cut went with the records
        self._compare_anchor()

    async def _check_places(self, tx: Transaction) -> None:
        after = -1
        last: Row | None = None
        while True:
            rows = await tx.fetch(_PLACES, after)
            start = self._tree.size
            end = start + len(rows)
            lower = start - 1 if after < 0 else start
            checkpoints = {row["size"]: row for row in await tx.fetch(_CHECKPOINTS, lower, end)}
            if start in checkpoints and after < 0:
                last = self._check_checkpoint(tx.tenant_id, checkpoints[start])
            for row in rows:
                self._check_place(tx.tenant_id, row)
                self._compare_anchor()
                if self._tree.size in checkpoints:
                    last = self._check_checkpoint(tx.tenant_id, checkpoints[self._tree.size])
            if len(rows) < _PAGE:
                break
            after = rows[-1]["seq"]
        await self._check_end(tx, last)

    def _check_place(self, tenant_id: str, row: Row) -> None:
        at = {"event_id": row["event_id"], "seq": self._tree.size}
        if row["seq"] != self._tree.size:
            raise VerificationFailed(reason=f"place {self._tree.size} is missing", seq=self._tree.size)
        if row["id"] is None:
            raise VerificationFailed(reason="the record is gone", **at)
        leaf = record.leaf(tenant_id, row)
        if leaf != row["leaf"]:
            raise VerificationFailed(reason="the record is not what was sealed", **at)
        for level, place, hash_ in self._tree.add(leaf):
            self._nodes[level, place] = hash_
        self._checked += 1

    def _check_checkpoint(self, tenant_id: str, row: Row) -> Row:
        statement = opened(self._verifier, row["note"], "checkpoint", tenant_id, "a checkpoint")
        at = {"seq": self._tree.size - 1}
        if (statement.size, statement.root) != (self._tree.size, self._tree.root()):
            raise VerificationFailed(reason="the checkpoint's root is not that of the records", **at)
        if row["frontier"] != self._tree.packed():
            raise VerificationFailed(reason="the checkpoint's frontier is not that of the records", **at)
        if (str(statement.low), statement.cluster) != (row["low"], row["cluster"]):
            raise VerificationFailed(reason="the checkpoint's row differs from its note", **at)
        if self._previous is not None and statement.previous != self._previous:
            raise VerificationFailed(reason="a checkpoint before this one is missing", **at)
        self._previous = digest(row["note"])
        return row

    async def _check_end(self, tx: Transaction, last: Row | None) -> None:
        sizes = await tx.fetchrow(
            "SELECT min(size) AS least, max(size) AS most FROM audit.checkpoints WHERE tenant_id = ragwork.tenant()"
        )
        assert sizes is not None  # an aggregate always has a row
        if (sizes["most"] or 0) > self._tree.size:
            raise VerificationFailed(reason=f"{sizes['most']} records were signed for", seq=self._tree.size)
        if sizes["least"] is not None and sizes["least"] < self._pruned:
            raise VerificationFailed(reason="there is a checkpoint of what was pruned")
        if (0 if last is None else last["size"]) != self._tree.size:
            raise VerificationFailed(reason="no checkpoint covers the last records", seq=self._tree.size - 1)

    def _check_nothing_missing(self) -> None:
        newest = max(self._anchored, default=0)
        if newest > self._tree.size:
            raise VerificationFailed(reason=f"{newest} records were anchored", seq=self._tree.size)

    def _compare_anchor(self) -> None:
        anchored = self._anchored.get(self._tree.size)
        if anchored is not None and anchored != self._tree.root():
            raise VerificationFailed(
                reason="the records differ from those that were anchored", seq=self._tree.size - 1
            )

    async def _check_nodes(self, tx: Transaction) -> None:
        rows = await tx.fetch("SELECT level, place, hash FROM audit.nodes WHERE tenant_id = ragwork.tenant()")
        if {(row["level"], row["place"]): row["hash"] for row in rows} != self._nodes:
            raise VerificationFailed(reason="the stored subtrees are not those of the records")

    async def _check_unsealed(self, tx: Transaction) -> None:
        after = 0
        while rows := await tx.fetch(_UNSEALED, after):
            for row in rows:
                if not self._row_authentication.genuine(tx.tenant_id, row):
                    raise VerificationFailed(
                        reason="the unsealed record was not written by this log", event_id=row["id"]
                    )
            self._unsealed += len(rows)
            after = rows[-1]["id"]
        copied = await tx.fetchval(_COPIES)
        if copied is not None:
            raise VerificationFailed(reason="the record is there twice", event_id=copied)

    async def _check_witnessed(self, tx: Transaction) -> None:
        wanted = {entry.event_id: entry.leaf for entry in self._witnesses.unsealed}
        for ids in _chunks(sorted(wanted)):
            found = {row["id"]: record.leaf(tx.tenant_id, row) for row in await tx.fetch(_BY_ID, ids)}
            for event_id in ids:
                if event_id not in found:
                    raise VerificationFailed(reason="the committed record is gone", event_id=event_id)
                if found[event_id] != wanted[event_id]:
                    raise VerificationFailed(reason="the record is not what was committed", event_id=event_id)


def opened(verifier: NoteVerifier, note: str, kind: Kind, tenant_id: str, what: str) -> Statement:
    """The statement of ``note``. Raises ``VerificationFailed``."""
    try:
        return verifier.open(note, kind, tenant_id)
    except InvalidNote as error:
        raise VerificationFailed(reason=f"{what} {error}") from None


def anchored_roots(verifier: NoteVerifier, notes: Iterable[str], tenant_id: str) -> dict[int, bytes]:
    """Size → root of what signed notes say.

    Raises ``VerificationFailed`` for one that is not ours, and for two that differ.
    """
    roots: dict[int, bytes] = {}
    for note in notes:
        statement = opened(verifier, note, kind_of(note), tenant_id, "an anchor")
        if roots.setdefault(statement.size, statement.root) != statement.root:
            raise VerificationFailed(
                reason=f"two anchors of {statement.size} records differ", seq=statement.size - 1
            )
    return roots


def check_cut(verifier: NoteVerifier, tenant_id: str, size: int, frontier: bytes, note: str) -> Frontier:
    """The tree of what a signed cut stands for. Raises ``VerificationFailed``."""
    statement = opened(verifier, note, "cut", tenant_id, "the cut")
    try:
        tree = Frontier(size, frontier)
    except ValueError as error:
        raise VerificationFailed(reason=f"the cut is damaged: {error}") from None
    if (statement.size, statement.root) != (tree.size, tree.root()):
        raise VerificationFailed(reason="the cut is not what was signed")
    return tree


def summary(reports: Iterable[Report]) -> Mapping[str, object]:
    """The verdict over all tenants, as ``ragwork audit verify`` prints it.

    ``first_bad`` is the id of the first bad record, or ``tenant#place`` where the record's id went with it.
    """
    found = list(reports)
    bad = [(report.tenant_id, report.broken) for report in found if report.broken is not None]
    return {
        "valid": not bad,
        "checked": sum(report.checked for report in found),
        "first_bad": _name(*bad[0]) if bad else None,
        "reason": bad[0][1].reason if bad else None,
        "unsealed": sum(report.unsealed for report in found),
        "pruned": sum(report.pruned for report in found),
        "tenants": len(found),
        "anchors": sum(report.anchors for report in found),
        "bad": [{"tenant_id": t, "event_id": b.event_id, "seq": b.seq, "reason": b.reason} for t, b in bad],
    }


def _name(tenant_id: str, broken: VerificationFailed) -> int | str:
    if broken.event_id is not None:
        return broken.event_id
    return tenant_id if broken.seq is None else f"{tenant_id}#{broken.seq}"


def _chunks(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[at : at + _PAGE] for at in range(0, len(ids), _PAGE))
