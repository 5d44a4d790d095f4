"""A read scope and a metadata filter as a Milvus expression.

The expression narrows; it does not judge. It lets through every document of the scope, and of the others
only those whose grant ends about now or stands under a ``Not``, and those that a condition not kept as a
token would decide. The index drops these from the hits, by the database's clock and in the caller's
transaction.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, TypeAlias, assert_never

from ragwork_hooks import authz

from ragwork_milvus import filter_tokens

#: An expression, or the constant that it folded to: engines differ on how they write one.
Condition: TypeAlias = str | bool

#: Seconds by which this machine's clock may be ahead of the database's.
SKEW_S: Final = 60.0


def condition(scope: authz.ReadScope, filter: Mapping[str, object], now: float) -> Condition:
    """Documents that ``scope`` may allow at ``now`` (seconds of the epoch) and that match ``filter``."""
    wanted = [
        holds([filter_tokens.fact(key, value) for value in (given if isinstance(given, list) else [given])])
        for key, given in filter.items()
    ]
    return every([within(scope, now), *wanted])


def within(scope: authz.ReadScope, now: float, *, surely: bool = False) -> Condition:
    """What ``scope`` may allow; with ``surely`` only what it allows whatever the time is.

    ``Not`` turns one into the other: its complement then lets through too much, never too little.
    """
    match scope:
        case authz.Everything():
            return True
        case authz.Nothing():
            return False
        case authz.ReadableBy(readers):
            return _readable(readers, now, surely=surely)
        case authz.OwnedBy(user_id):
            return holds([filter_tokens.owner(user_id)])
        case authz.LabelIn(key, values):
            return holds([filter_tokens.label(key, value) for value in values])
        case authz.IdIn() | authz.HasLabel() | authz.LabelComparison():
            return not surely
        case authz.AllOf(parts):
            return every([within(part, now, surely=surely) for part in parts])
        case authz.AnyOf(parts):
            return some([within(part, now, surely=surely) for part in parts])
        case authz.Not(part):
            return opposite(within(part, now, surely=not surely))
        case _:
            assert_never(scope)


def holds(wanted: Collection[str]) -> Condition:
    """The document has one of the tokens."""
    if not wanted:
        return False
    listed = ", ".join(f'"{one}"' for one in sorted(wanted))
    return f"array_contains_any(facts, [{listed}])"


def every(conditions: Sequence[Condition]) -> Condition:
    """All of them; true of none."""
    if False in conditions:
        return False
    return _joined(" and ", conditions) or True


def some(conditions: Sequence[Condition]) -> Condition:
    """One of them at least; false of none."""
    if True in conditions:
        return True
    return _joined(" or ", conditions) or False


def opposite(one: Condition) -> Condition:
    """Its complement. Expressions of ``within`` are true or false, so there is no third case to lose."""
    return not one if isinstance(one, bool) else f"not ({one})"


def _readable(readers: Collection[str], now: float, *, surely: bool) -> Condition:
    lasting = holds([filter_tokens.reader(name) for name in readers])
    if surely:
        return lasting
    # A missing key compares to neither true nor false. That never meets a ``not``, and in an ``or`` it is lost.
    passing = [
        f'until["{filter_tokens.passing_reader(name)}"] > {now - SKEW_S:.0f}' for name in sorted(readers)
    ]
    return some([lasting, *passing])


def _joined(operator: str, conditions: Sequence[Condition]) -> str:
    texts = [one for one in conditions if isinstance(one, str)]
    return texts[0] if len(texts) == 1 else operator.join(f"({text})" for text in texts)
