"""Who may read, as SQL over ``pgvector.documents d``."""

from ragwork_hooks.authz import Everything, ReadableBy, ReadScope
from ragwork_toolkit import scope_sql
from ragwork_toolkit.scope_sql import Parameters


def scope_condition(scope: ReadScope, parameters: Parameters) -> str:
    """What of ``pgvector.documents d`` lies in ``scope``; true or false, never null."""
    return scope_sql.compile(
        scope, parameters, document_id="d.document_id", granted=lambda readers: _granted("d", readers)
    )


def listed(scope: ReadScope, parameters: Parameters) -> str:
    """Which access lists of a table ``s`` the caller is on, of a scope that is ``broad``."""
    match scope:
        case ReadableBy(readers):
            return _granted("s", parameters.bind(sorted(readers), "text[]"))
        case Everything():
            return "true"
        case _:
            raise ValueError(f"not every document of a list lies in {scope}")


def _granted(table: str, readers: str) -> str:
    # IS TRUE keeps it a hash look-up of the caller's lists, which are few.
    return (
        f"({table}.access_list IN (SELECT l.access_list FROM pgvector.access_lists l"  # noqa: S608  # placeholders
        f" WHERE l.reader = ANY({readers}) AND (l.expires_at IS NULL OR l.expires_at > now()))) IS TRUE"
    )
