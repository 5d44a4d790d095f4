"""Read scopes as SQL: for tables that a scope is to narrow (agent, documents, pgvector)."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Final, assert_never

import attrs
from ragwork_hooks import authz

_ORDER: Final = MappingProxyType({"lt": "<", "lte": "<=", "gt": ">", "gte": ">="})


@attrs.frozen
class Parameters:
    """The arguments of one statement, numbered in the order in which they are bound."""

    values: list[object] = attrs.field(factory=list)

    def bind(self, value: object, type: str) -> str:
        """The placeholder for ``value``, cast to the SQL type ``type``."""
        self.values.append(value)
        return f"${len(self.values)}::{type}"


def compile(
    scope: authz.ReadScope, parameters: Parameters, *, document_id: str, granted: Callable[[str], str]
) -> str:
    """A condition over a table ``d`` with ``owner text`` and ``labels jsonb`` (texts by key), neither null.

    ``document_id`` is the SQL of the document's id; ``granted`` makes, of a placeholder for readers (``text[]``), a
    condition that one of them holds an unexpired read grant. Both are never null, and neither is the result: ``Not``
    is exact. The text depends on the scope's shape only, so that statements of one shape share a prepared plan.
    """

    def text(value: str) -> str:
        return parameters.bind(value, "text")

    def texts(values: frozenset[str]) -> str:
        return parameters.bind(sorted(values), "text[]")

    def joined(parts: tuple[authz.ReadScope, ...], operator: str, empty: str) -> str:
        return f"({operator.join(map(condition, parts))})" if parts else empty

    def condition(scope: authz.ReadScope) -> str:
        match scope:
            case authz.Everything():
                return "true"
            case authz.Nothing():
                return "false"
            case authz.ReadableBy(readers):
                return granted(texts(readers))
            case authz.OwnedBy(user_id):
                return f"d.owner = {text(user_id)}"
            case authz.IdIn(document_ids):
                return f"{document_id} = ANY({texts(document_ids)})"
            case authz.HasLabel(key):
                return f"d.labels ? {text(key)}"
            case authz.LabelIn(key, values):
                return f"coalesce(d.labels ->> {text(key)} = ANY({texts(values)}), false)"
            case authz.LabelComparison(key, relation, value):
                return _compared(f"(d.labels ->> {text(key)})", relation, text(value))
            case authz.AllOf(parts):
                return joined(parts, " AND ", "true")
            case authz.AnyOf(parts):
                return joined(parts, " OR ", "false")
            case authz.Not(part):
                return f"NOT ({condition(part)})"
            case _:
                assert_never(scope)

    return condition(scope)


def _compared(label: str, relation: str, value: str) -> str:
    match relation:
        case "starts_with":
            test = f"starts_with({label}, {value})"
        case "contains":
            test = f"strpos({label}, {value}) > 0"
        case _:
            # Collation C compares code points, as the algebra says.
            test = f'{label} COLLATE "C" {_ORDER[relation]} {value}'
    return f"coalesce({test}, false)"
