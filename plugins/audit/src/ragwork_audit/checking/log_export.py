"""A tenant's log as one file, and its verification with the public key alone: no database, no platform.

The file is JSON lines: a header with the newest checkpoint (and the cut, when records were pruned), then every
sealed record in the order of its place, each field a text or null as it was hashed, and after the records that a
checkpoint covers a line with its note.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import orjson
from ragwork_hooks.storage import Transaction

from ragwork_audit.checking.verification import Report, VerificationFailed, anchored_roots, check_cut, opened
from ragwork_audit.log import record
from ragwork_audit.log.record import COLUMNS, HASHED
from ragwork_audit.sealing.merkle import Frontier, leaf_hash
from ragwork_audit.sealing.signed_notes import InvalidNote, NoteVerifier

FORMAT: Final = "ragwork-audit-export/1"
_PAGE: Final = 1000
_ROWS: Final = f"""SELECT s.seq, {COLUMNS} FROM audit.seals s
    JOIN audit.events e ON e.tenant_id = s.tenant_id AND e.id = s.event_id
    WHERE s.tenant_id = ragwork.tenant() AND s.seq > $1 AND s.seq < $2 ORDER BY s.seq LIMIT {_PAGE}"""  # noqa: S608

_NOTES: Final = """SELECT size, note FROM audit.checkpoints
    WHERE tenant_id = ragwork.tenant() AND size > $1 AND size <= $2"""


async def lines(tx: Transaction) -> AsyncIterator[tuple[bytes, int]]:
    """The export of the transaction's tenant: each line, and how many records it holds (0 or 1). All is read in
    one snapshot, so ``tx`` must not have read anything yet.
    """
    await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    last = await tx.fetchrow(
        "SELECT size, note FROM audit.checkpoints WHERE tenant_id = ragwork.tenant() ORDER BY size DESC LIMIT 1"
    )
    cut = await tx.fetchrow("SELECT size, frontier, note FROM audit.cuts WHERE tenant_id = ragwork.tenant()")
    header = {
        "format": FORMAT,
        "tenant_id": tx.tenant_id,
        "checkpoint": last and last["note"],
        "cut": cut and {"note": cut["note"], "size": cut["size"], "frontier": cut["frontier"].hex()},
    }
    yield orjson.dumps(header), 0
    after, size = -1, 0 if last is None else last["size"]
    while rows := await tx.fetch(_ROWS, after, size):
        notes = await tx.fetch(_NOTES, rows[0]["seq"], rows[-1]["seq"] + 1)
        signed = {note["size"]: note["note"] for note in notes}
        for row in rows:
            yield record.content(tx.tenant_id, row), 1
            if row["seq"] + 1 in signed:
                yield orjson.dumps({"note": signed[row["seq"] + 1]}), 0
        after = rows[-1]["seq"]


def verify_file(place: Path, verifier: NoteVerifier, anchors: Iterable[str]) -> Report:
    """Verify an export and compare it with ``anchors``, signed notes of the tenant. Raises ``OSError``."""
    with place.open("rb") as file:
        return _Offline(verifier).run((line.rstrip(b"\n") for line in file), list(anchors))


class _Offline:
    def __init__(self, verifier: NoteVerifier) -> None:
        self._verifier = verifier
        self._tenant_id = ""
        self._tree = Frontier()
        self._checked = self._pruned = 0
        self._anchored: dict[int, bytes] = {}
        #: The first record that no signed root has confirmed yet.
        self._since_signed: VerificationFailed | None = None

    def run(self, file: Iterator[bytes], anchors: list[str]) -> Report:
        broken: VerificationFailed | None = None
        try:
            self._check(file, anchors)
        except VerificationFailed as found:
            broken = found
        return Report(
            tenant_id=self._tenant_id, checked=self._checked, unsealed=0, pruned=self._pruned,
            anchors=len(anchors), broken=broken,
        )  # fmt: skip

    def _check(self, file: Iterator[bytes], anchors: list[str]) -> None:
        header = _object(next(file, b""), 0)
        if header.get("format") != FORMAT or not isinstance(header.get("tenant_id"), str):
            raise VerificationFailed(reason=f"the file is no {FORMAT}")
        self._tenant_id = header["tenant_id"]
        self._anchored = anchored_roots(self._verifier, anchors, self._tenant_id)
        self._read_cut(header.get("cut"))
        signed = header.get("checkpoint")
        size, root = self._tree.size, self._tree.root()
        if signed is not None:
            statement = opened(self._verifier, str(signed), "checkpoint", self._tenant_id, "the checkpoint")
            size, root = statement.size, statement.root
        newest = max(self._anchored, default=0)
        if newest > size:
            raise VerificationFailed(reason=f"{newest} records were anchored", seq=size)
        for line in file:
            self._check_line(line, size)
        if self._tree.size != size:
            raise VerificationFailed(reason=f"{size} records were signed for", seq=self._tree.size)
        self._compare(root)

    def _read_cut(self, cut: object) -> None:
        if not isinstance(cut, dict):
            return
        try:
            size, frontier, note = int(cut["size"]), bytes.fromhex(cut["frontier"]), str(cut["note"])
        except (KeyError, TypeError, ValueError):
            raise VerificationFailed(reason="the cut is damaged") from None
        self._tree = check_cut(self._verifier, self._tenant_id, size, frontier, note)
        self._pruned = size

    def _check_line(self, line: bytes, size: int) -> None:
        fields = _object(line, self._tree.size)
        if fields.keys() == {"note"}:
            statement = opened(
                self._verifier, str(fields["note"]), "checkpoint", self._tenant_id, "a checkpoint"
            )
            if statement.size != self._tree.size:
                raise VerificationFailed(
                    reason=f"{statement.size} records were signed for here", seq=self._tree.size
                )
            self._compare(statement.root)
            return
        at = VerificationFailed(
            reason="the line does not belong here", event_id=_id(fields), seq=self._tree.size
        )
        if fields.keys() != {"tenant_id", *HASHED} or fields["tenant_id"] != self._tenant_id:
            raise at
        if self._tree.size >= size or orjson.dumps(fields, option=orjson.OPT_SORT_KEYS) != line:
            raise at
        self._since_signed = self._since_signed or at
        self._tree.add(leaf_hash(line))
        self._checked += 1
        if self._tree.size in self._anchored:
            self._compare(self._anchored[self._tree.size])

    def _compare(self, root: bytes) -> None:
        """Hold the records so far against a signed root; the first since the last good one is named."""
        if self._tree.root() != root:
            bad = self._since_signed or VerificationFailed(reason="")
            raise attrs.evolve(bad, reason="this record or one of the next differs from what was signed")
        self._since_signed = None


def _id(fields: dict[str, Any]) -> int | None:
    found = fields.get("id")
    return int(found) if isinstance(found, str) and found.isdecimal() and len(found) < 20 else None


def _object(line: bytes, seq: int) -> dict[str, Any]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise VerificationFailed(reason="the line is no JSON object", seq=seq)
    return found


def read_keys(place: Path) -> NoteVerifier:
    """The verifier keys in a file, one a line. Raises ``OSError`` and ``InvalidNote``."""
    keys = [line for line in place.read_text().splitlines() if line.strip()]
    if not keys:
        raise InvalidNote(f"{place} holds no verifier key")
    return NoteVerifier(keys)
