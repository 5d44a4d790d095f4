"""Read scopes and documents to try them on: what compiles a scope is compared with ``gates.admits``."""

import itertools
from typing import Final

from hypothesis import strategies as st
from ragwork_hooks import authz

from ragwork_testkit.gates import Readable

_LEVELS: Final = ("a", "B", "", "é", "a%_'\\", "\U0001f600", "\uffee")
_LABELS: Final = ({}, *({"level": level} for level in _LEVELS), {"level": "a", "team": "x"})
#: Every owner with every set of readers and of labels.
DOCUMENTS: Final = tuple(
    Readable(id=f"d{n}", owner=owner, readers=frozenset(readers), labels=tuple(labels.items()))
    for n, (owner, readers, labels) in enumerate(
        itertools.product(("ann", "bob"), ((), ("user:ann",), ("group:g", "tenant:t")), _LABELS)
    )
)
#: A reader whose grants on each of ``DOCUMENTS`` shall be expired, where the schema knows that.
EXPIRED_READER: Final = "role:expired"
_READERS: Final = ("user:ann", "group:g", "tenant:t", "role:x", EXPIRED_READER)
_KEYS = st.sampled_from(("level", "team", "no'ne"))
# Postgres has no NUL in a text.
_VALUES = st.sampled_from((*_LEVELS, "%", "_'", "Z", "x")) | st.text(
    st.characters(exclude_characters="\0", codec="utf-8"), max_size=3
)
_LEAVES: st.SearchStrategy[authz.ReadScope] = st.one_of(
    st.sampled_from((authz.Everything(), authz.Nothing())),
    st.frozensets(st.sampled_from(_READERS), max_size=2).map(authz.ReadableBy),
    st.sampled_from(("ann", "cyn")).map(authz.OwnedBy),
    st.frozensets(st.sampled_from(("d1", "d7", "d99")), max_size=3).map(authz.IdIn),
    _KEYS.map(authz.HasLabel),
    st.builds(authz.LabelIn, _KEYS, st.frozensets(_VALUES, max_size=2)),
    st.builds(
        authz.LabelComparison,
        _KEYS,
        st.sampled_from(("lt", "lte", "gt", "gte", "starts_with", "contains")),
        _VALUES,
    ),
)


def _grown(parts: st.SearchStrategy[authz.ReadScope]) -> st.SearchStrategy[authz.ReadScope]:
    several = st.lists(parts, max_size=3).map(tuple)
    return several.map(authz.AllOf) | several.map(authz.AnyOf) | parts.map(authz.Not)


def scopes() -> st.SearchStrategy[authz.ReadScope]:
    """Any scope, of up to a dozen parts."""
    return st.recursive(_LEAVES, _grown, max_leaves=12)
