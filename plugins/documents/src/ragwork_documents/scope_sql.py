"""A read scope as an SQL condition over ``documents.documents d``; values travel as parameters only."""

from ragwork_hooks.authz import (
    AllOf,
    AnyOf,
    Everything,
    LabelIn,
    Not,
    Nothing,
    OwnedBy,
    ReadableBy,
    ReadScope,
)

from ragwork_documents.acl import READ_GRANTS


def condition(scope: ReadScope, args: list[object]) -> str:
    """The condition; its values are appended to ``args`` and named by their place there."""
    match scope:
        case Everything():
            return "true"
        case Nothing():
            return "false"
        case ReadableBy(readers):
            return _readable(readers, args)
        case OwnedBy(user_id):
            return f"d.owner = {_parameter(args, user_id)}"
        case LabelIn(key, values):
            label = f"d.labels ->> {_parameter(args, key)}::text"
            return f"COALESCE({label} = ANY({_parameter(args, sorted(values))}::text[]), false)"
        case AllOf(parts):
            return _joined(parts, "AND", "true", args)
        case AnyOf(parts):
            return _joined(parts, "OR", "false", args)
        case Not(part):
            return f"NOT ({condition(part, args)})"


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
