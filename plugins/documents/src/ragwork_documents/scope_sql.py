"""A read scope as an SQL condition over ``documents.documents d``; values travel as parameters only."""

from types import MappingProxyType
from typing import Final, assert_never

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

from ragwork_documents.acl import READ_GRANTS

_OPERATORS: Final = MappingProxyType({"lt": "<", "lte": "<=", "gt": ">", "gte": ">="})


def condition(scope: ReadScope, args: list[object]) -> str:
    """True or false, never null, so that ``Not`` is exact. Values are appended to ``args`` and named by their
    place there.
    """
    match scope:
        case Everything():
            return "true"
        case Nothing():
            return "false"
        case ReadableBy(readers):
            return _readable(readers, args)
        case OwnedBy(user_id):
            return f"d.owner = {_parameter(args, user_id)}"
        case IdIn(document_ids):
            return f"d.id = ANY({_parameter(args, sorted(document_ids))}::text[])"
        case Labelled(key):
            return f"d.labels ? {_parameter(args, key)}::text"
        case LabelIn(key, values):
            label = f"d.labels ->> {_parameter(args, key)}::text"
            return f"COALESCE({label} = ANY({_parameter(args, sorted(values))}::text[]), false)"
        case LabelCompares(key, relation, value):
            return _compared(_parameter(args, key), relation, _parameter(args, value))
        case AllOf(parts):
            return _joined(parts, "AND", "true", args)
        case AnyOf(parts):
            return _joined(parts, "OR", "false", args)
        case Not(part):
            return f"NOT ({condition(part, args)})"
        case _:
            assert_never(scope)


def _compared(key: str, relation: str, value: str) -> str:
    label, value = f"(d.labels ->> {key}::text)", f"{value}::text"
    match relation:
        case "starts_with":
            test = f"starts_with({label}, {value})"
        case "contains":
            test = f"strpos({label}, {value}) > 0"
        case _:
            # Collation C compares code points, as the algebra says.
            test = f'{label} COLLATE "C" {_OPERATORS[relation]} {value}'
    return f"COALESCE({test}, false)"


def _readable(readers: frozenset[str], args: list[object]) -> str:
    return f"""EXISTS (SELECT FROM documents.grants g
        WHERE g.tenant_id = d.tenant_id AND g.document_id = d.id
          AND g.reader = ANY({_parameter(args, sorted(readers))}::text[])
          AND g.permission = ANY({_parameter(args, READ_GRANTS)}::text[])
          AND (g.expires_at IS NULL OR g.expires_at > now()))"""  # only $n is put in


def _joined(parts: tuple[ReadScope, ...], word: str, empty: str, args: list[object]) -> str:
    if not parts:
        return empty
    return "(" + f" {word} ".join(condition(part, args) for part in parts) + ")"


def _parameter(args: list[object], value: object) -> str:
    args.append(value)
    return f"${len(args)}"
