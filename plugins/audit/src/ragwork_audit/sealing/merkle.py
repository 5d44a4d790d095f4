"""The Merkle tree of RFC 6962 (section 2.1): roots, inclusion and consistency, without a database.

A tree of ``size`` leaves is kept as its frontier: the roots of its complete subtrees, largest first, one
per bit of ``size``. That is all one needs to add leaves, and what is left of those that were pruned.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
#: Levels whose complete subtrees are stored: a proof reads at most 255 hashes of each.
STORED_LEVELS: Final = (8, 16, 24, 32, 40)
#: No tree of 64-bit sizes needs a longer proof; what is longer is refused unread.
MAX_PROOF: Final = 64


def leaf_hash(content: bytes) -> bytes:
    """The hash of a leaf."""
    return hashlib.sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an interior node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A growing tree. ``size`` counts its leaves."""

    __slots__ = ("_hashes", "size")

    def __init__(self, size: int = 0, packed: bytes = b"") -> None:
        """A tree from its packed frontier. Raises ``ValueError`` when the two don't fit."""
        if size < 0 or len(packed) != size.bit_count() * HASH_BYTES:
            raise ValueError(f"{len(packed)} bytes are no frontier of {size} leaves")
        self.size = size
        self._hashes = [packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES)]

    def add(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Append a leaf's hash; the subtrees of ``STORED_LEVELS`` it completes as (level, place, hash)."""
        completed = []
        node, level, place = leaf, 0, self.size
        while place & 1:
            node = node_hash(self._hashes.pop(), node)
            level, place = level + 1, place >> 1
            if level in STORED_LEVELS:
                completed.append((level, place, node))
        self._hashes.append(node)
        self.size += 1
        return completed

    def root(self) -> bytes:
        """The tree's root hash."""
        if not self._hashes:
            return EMPTY_ROOT
        node = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            node = node_hash(left, node)
        return node

    def packed(self) -> bytes:
        """The frontier's hashes, largest subtree first."""
        return b"".join(self._hashes)

    def subtrees(self) -> Iterator[tuple[int, int, bytes]]:
        """The frontier as (first leaf, end, hash)."""
        start = 0
        for hash_, level in zip(self._hashes, _bits(self.size), strict=True):
            yield start, start + (1 << level), hash_
            start += 1 << level


def _bits(size: int) -> list[int]:
    return [level for level in range(size.bit_length() - 1, -1, -1) if size >> level & 1]


def _split(count: int) -> int:
    """The largest power of two below ``count`` (2 or more)."""
    return 1 << (count - 1).bit_length() - 1


Range = tuple[int, int]


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """The subtrees [start, end) whose hashes prove leaf ``index`` in a tree of ``size``, lowest first."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    found: list[Range] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start = middle
    return found[::-1]


def consistency_ranges(old: int, new: int) -> list[Range]:
    """The subtrees whose hashes prove that a tree of ``new`` leaves extends the one of ``old``, lowest first."""
    if not 0 < old <= new:
        raise ValueError(f"a tree of {new} does not extend one of {old}")
    found: list[Range] = []
    start, end, whole = 0, new, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start, whole = middle, False
    if not whole:
        found.append((start, end))
    return found[::-1]


#: A stored hash: its level (0 is a leaf) and its place on it.
Stored = tuple[int, int]


def pieces(start: int, end: int, pruned: dict[Range, bytes]) -> Iterator[Stored]:
    """The stored hashes that make up [start, end), those of ``pruned`` subtrees left out."""
    if (start, end) in pruned:
        return
    stored = _stored(start, end)
    if stored is not None:
        yield stored
        return
    middle = start + _split(end - start)
    yield from pieces(start, middle, pruned)
    yield from pieces(middle, end, pruned)


def range_hash(start: int, end: int, pruned: dict[Range, bytes], stored: Callable[[Stored], bytes]) -> bytes:
    """The hash over [start, end) out of the pieces that ``pieces`` names."""
    known = pruned.get((start, end))
    if known is not None:
        return known
    piece = _stored(start, end)
    if piece is not None:
        return stored(piece)
    middle = start + _split(end - start)
    return node_hash(
        range_hash(start, middle, pruned, stored),
        range_hash(middle, end, pruned, stored),
    )


def _stored(start: int, end: int) -> Stored | None:
    count = end - start
    level = count.bit_length() - 1
    if count == 1 << level and start % count == 0 and (level == 0 or level in STORED_LEVELS):
        return level, start >> level
    return None


def included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether ``proof`` shows ``leaf`` at ``index`` of the tree (RFC 9162, section 2.1.3.2)."""
    if not 0 <= index < size or not _well_formed(proof):
        return False
    at, last, node = index, size - 1, leaf
    for hash_ in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            node = node_hash(hash_, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, hash_)
        at, last = at >> 1, last >> 1
    return last == 0 and node == root


def extends(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether ``proof`` shows that the tree of ``new`` leaves extends that of ``old`` (section 2.1.4.2)."""
    if not 0 < old <= new or not _well_formed(proof):
        return False
    if old == new:
        return not proof and old_root == new_root
    hashes = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not hashes:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = hashes[0]
    for hash_ in hashes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            first, second = node_hash(hash_, first), node_hash(hash_, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node_hash(second, hash_)
        at, last = at >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


def _well_formed(proof: Sequence[bytes]) -> bool:
    return len(proof) <= MAX_PROOF and all(len(hash_) == HASH_BYTES for hash_ in proof)
