"""Proofs from the stored tree: that a record is in it, and that a later tree extends an earlier one."""

from collections.abc import Sequence

from ragwork_hooks.errors import Problem, not_found
from ragwork_hooks.storage import Row, Transaction

from ragwork_audit.log.record import COLUMNS
from ragwork_audit.sealing.merkle import (
    Frontier,
    Range,
    Stored,
    consistency_ranges,
    inclusion_ranges,
    pieces,
    range_hash,
)


async def checkpoint(tx: Transaction) -> Row:
    """The newest checkpoint: size and note. Raises ``Problem`` 404 while nothing is sealed."""
    row = await tx.fetchrow(
        "SELECT size, note FROM audit.checkpoints WHERE tenant_id = ragwork.tenant() ORDER BY size DESC LIMIT 1"
    )
    if row is None:
        raise not_found("checkpoint", tx.tenant_id)
    return row


async def place(tx: Transaction, event_id: int) -> Row:
    """The record with its ``seq`` and ``leaf``. Raises ``Problem`` 404, 409 while it is not sealed."""
    row = await tx.fetchrow(
        f"""SELECT s.seq, s.leaf, {COLUMNS} FROM audit.events e
        LEFT JOIN audit.seals s ON s.tenant_id = e.tenant_id AND s.event_id = e.id
        WHERE e.tenant_id = ragwork.tenant() AND e.id = $1""",  # noqa: S608
        event_id,
    )
    if row is None:
        raise not_found("audit event", str(event_id))
    if row["seq"] is None:
        raise Problem("CONFLICT", "the event is not sealed yet; ask again in a second")
    return row


async def inclusion(tx: Transaction, seq: int, size: int) -> list[bytes]:
    """The hashes that show place ``seq`` in the tree of ``size``, lowest first."""
    return await _hashes(tx, inclusion_ranges(seq, size))


async def consistency(tx: Transaction, old: int, new: int) -> list[bytes]:
    """The hashes that show that the tree of ``new`` extends that of ``old``. Raises ``Problem`` 409 when records
    before ``old`` are pruned, 422 when it is no earlier size.
    """
    if not 0 < old <= new:
        raise Problem("VALIDATION_ERROR", f"consistent_with must be 1 to {new}")
    return await _hashes(tx, consistency_ranges(old, new))


async def _hashes(tx: Transaction, ranges: Sequence[Range]) -> list[bytes]:
    pruned = await _pruned(tx)
    wanted = {piece for start, end in ranges for piece in pieces(start, end, pruned)}
    stored = await _stored(tx, wanted)
    if wanted - stored.keys():
        raise Problem("CONFLICT", "records that this proof needs are pruned; ask for a later size")
    return [range_hash(start, end, pruned, stored.__getitem__) for start, end in ranges]


async def _pruned(tx: Transaction) -> dict[Range, bytes]:
    cut = await tx.fetchrow("SELECT size, frontier FROM audit.cuts WHERE tenant_id = ragwork.tenant()")
    if cut is None:
        return {}
    return {(start, end): hash_ for start, end, hash_ in Frontier(cut["size"], cut["frontier"]).subtrees()}


async def _stored(tx: Transaction, wanted: set[Stored]) -> dict[Stored, bytes]:
    leaves = [at for level, at in wanted if level == 0]
    nodes = [piece for piece in wanted if piece[0]]
    rows = await tx.fetch(
        """SELECT 0 AS level, s.seq AS place, s.leaf AS hash FROM audit.seals s
            WHERE s.tenant_id = ragwork.tenant() AND s.seq = ANY ($1::bigint[])
        UNION ALL
        SELECT n.level, n.place, n.hash FROM audit.nodes n
            JOIN unnest($2::smallint[], $3::bigint[]) AS w(level, place) USING (level, place)
            WHERE n.tenant_id = ragwork.tenant()""",
        leaves,
        [level for level, _ in nodes],
        [at for _, at in nodes],
    )
    return {(row["level"], row["place"]): row["hash"] for row in rows}
