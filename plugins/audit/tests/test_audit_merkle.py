"""The tree is RFC 6962's, its proofs verify, and hostile proofs do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_audit.sealing import merkle
from ragwork_audit.sealing.merkle import Frontier

# The reference vectors of Certificate Transparency's implementations.
LEAVES = [bytes.fromhex(x) for x in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION_0_OF_8 = [
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
]
CONSISTENCY_1_8 = [
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
]
CONSISTENCY_6_8 = [
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
]


class Tree:
    """A grown tree and what would be stored of it, records before ``cut`` pruned."""

    def __init__(self, size: int, cut: int = 0) -> None:
        self.leaves = [merkle.leaf_hash(n.to_bytes(4, "big")) for n in range(size)]
        self.stored: dict[merkle.Stored, bytes] = {}
        self.pruned: dict[merkle.Range, bytes] = {}
        self.roots = [merkle.EMPTY_ROOT]
        frontier = Frontier()
        for seq, leaf in enumerate(self.leaves):
            self.stored[0, seq] = leaf
            self.stored |= {(level, place): hash_ for level, place, hash_ in frontier.add(leaf)}
            self.roots.append(frontier.root())
            if frontier.size == cut:
                self.pruned = {(start, end): hash_ for start, end, hash_ in frontier.subtrees()}
        self.stored = {(lv, at): h for (lv, at), h in self.stored.items() if (at + 1) << lv > cut}

    def hashes(self, ranges: list[merkle.Range]) -> list[bytes]:
        for start, end in ranges:
            assert set(merkle.pieces(start, end, self.pruned)) <= self.stored.keys()
        return [merkle.range_hash(s, e, self.pruned, self.stored.__getitem__) for s, e in ranges]


def test_roots_and_proofs_are_those_of_the_reference_vectors() -> None:
    frontier = Frontier()
    hashes = [merkle.leaf_hash(content) for content in LEAVES]
    for hash_, root in zip(hashes, ROOTS, strict=True):
        frontier.add(hash_)
        assert frontier.root().hex() == root

    def of(ranges: list[merkle.Range]) -> list[str]:
        return [merkle.range_hash(s, e, {}, lambda p: hashes[p[1]]).hex() for s, e in ranges]

    assert of(merkle.inclusion_ranges(0, 8)) == INCLUSION_0_OF_8
    assert of(merkle.consistency_ranges(1, 8)) == CONSISTENCY_1_8
    assert of(merkle.consistency_ranges(6, 8)) == CONSISTENCY_6_8
    assert merkle.included(
        hashes[0], 0, 8, [bytes.fromhex(h) for h in INCLUSION_0_OF_8], bytes.fromhex(ROOTS[7])
    )


@given(st.integers(1, 2000), st.data())
def test_every_record_is_proved_and_every_tree_extends_its_beginnings(size: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, size - 1))
    tree = Tree(size, cut)
    index = data.draw(st.integers(cut, size - 1))
    proof = tree.hashes(merkle.inclusion_ranges(index, size))
    assert merkle.included(tree.leaves[index], index, size, proof, tree.roots[size])
    assert not merkle.included(tree.leaves[index - 1], index, size, proof, tree.roots[size]) or size == 1
    old = data.draw(st.integers(max(cut, 1), size))
    path = tree.hashes(merkle.consistency_ranges(old, size))
    assert merkle.extends(old, size, tree.roots[old], tree.roots[size], path)
    assert not merkle.extends(old, size, tree.roots[old - 1], tree.roots[size], path)


@given(st.integers(0, 40), st.integers(0, 40), st.lists(st.binary(min_size=31, max_size=33), max_size=8))
def test_made_up_proofs_are_refused(a: int, b: int, proof: list[bytes]) -> None:
    root = merkle.leaf_hash(b"root")
    assert not merkle.included(merkle.leaf_hash(b"x"), a, b, proof, root)
    assert not merkle.extends(a, b, merkle.leaf_hash(b"y"), root, proof)


def test_hostile_proofs_cost_nothing() -> None:
    endless = [b"\x00" * 32] * 1_000_000
    assert not merkle.included(b"\x00" * 32, 0, 2**63, endless, b"\x00" * 32)
    assert not merkle.included(b"\x00" * 32, 9, 8, [], b"\x00" * 32)
    assert not merkle.extends(1, 2**63, b"\x00" * 32, b"\x01" * 32, endless)
    with pytest.raises(ValueError, match="not in a tree"):
        merkle.inclusion_ranges(8, 8)


@given(st.integers(0, 3000))
def test_a_frontier_survives_packing(size: int) -> None:
    frontier = Frontier()
    for n in range(size):
        frontier.add(merkle.leaf_hash(str(n).encode()))
    again = Frontier(size, frontier.packed())
    assert again.root() == frontier.root()
    with pytest.raises(ValueError, match="no frontier"):
        Frontier(size + 1, frontier.packed() + b"\x00")
