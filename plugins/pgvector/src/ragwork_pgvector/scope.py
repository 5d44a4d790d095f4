"""A read scope as a predicate over ``pgvector.documents d``, every value a bound parameter."""

# ruff: noqa: S608 -- what enters the text are placeholders; every value is a parameter

from types import MappingProxyType
from typing import Final, assert_never

import attrs
from ragwork_hooks.authz import (
    AllOf,
    AnyOf,
    Everything,
    IdIn,
    LabelCompares,
    LabelIn,
    Labelled,
    Not,
    Nothing,
    OwnedBy,
    ReadableBy,
    ReadScope,
)

_OPERATORS: Final = MappingProxyType({"lt": "<", "lte": "<=", "gt": ">", "gte": ">="})


@attrs.frozen
class Parameters:
    """The arguments of one statement, numbered in the order in which they are bound."""

    values: list[object] = attrs.field(factory=list)

    def bind(self, value: object, type: str) -> str:
        """The placeholder for ``value``, cast to the SQL type ``type``."""
        self.values.append(value)
        return f"${len(self.values)}::{type}"


def predicate(scope: ReadScope, parameters: Parameters) -> str:
    """SQL that is true or false, never null, so that ``Not`` is exact.

    The text depends on the scope's shape only; statements of one shape share a prepared plan.
    """
    match scope:
        case Everything():
            return "true"
        case Nothing():
            return "false"
        case ReadableBy(readers):
            return _granted(parameters.bind(sorted(readers), "text[]"))
        case OwnedBy(user_id):
            return f"d.owner = {parameters.bind(user_id, 'text')}"
        case IdIn(document_ids):
            return f"d.document_id = ANY({parameters.bind(sorted(document_ids), 'text[]')})"
        case Labelled(key):
            return f"d.labels ? {parameters.bind(key, 'text')}"
        case LabelIn(key, values):
            label = f"d.labels ->> {parameters.bind(key, 'text')}"
            return f"coalesce({label} = ANY({parameters.bind(sorted(values), 'text[]')}), false)"
        case LabelCompares(key, relation, value):
            label = f"(d.labels ->> {parameters.bind(key, 'text')})"
            return _compared(label, relation, parameters.bind(value, "text"))
        case AllOf(parts):
            return _join(" AND ", parts, parameters, empty="true")
        case AnyOf(parts):
            return _join(" OR ", parts, parameters, empty="false")
        case Not(part):
            return f"NOT ({predicate(part, parameters)})"
        case _:
            assert_never(scope)


def _compared(label: str, relation: str, value: str) -> str:
    match relation:
        case "starts_with":
            test = f"starts_with({label}, {value})"
        case "contains":
            test = f"strpos({label}, {value}) > 0"
        case _:
            # Collation C compares code points, as the algebra says.
            test = f'{label} COLLATE "C" {_OPERATORS[relation]} {value}'
    return f"coalesce({test}, false)"


def _granted(readers: str) -> str:
    # IS TRUE keeps it a hash look-up of the caller's grants: without statistics a join may read the
    # grants once per document.
    return (
        "(d.document_id IN (SELECT r.document_id FROM pgvector.readers r"
        f" WHERE r.reader = ANY({readers}) AND (r.expires_at IS NULL OR r.expires_at > now()))) IS TRUE"
    )


def _join(operator: str, parts: tuple[ReadScope, ...], parameters: Parameters, *, empty: str) -> str:
    if not parts:
        return empty
    return "(" + operator.join(predicate(part, parameters) for part in parts) + ")"
