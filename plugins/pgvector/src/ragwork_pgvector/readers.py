"""Who may read, as SQL over ``pgvector.documents d``."""

# ruff: noqa: S608 -- what enters the text are placeholders; every value is a parameter

from ragwork_hooks.authz import Everything, ReadableBy, ReadScope
from ragwork_toolkit import scope_sql
from ragwork_toolkit.scope_sql import Parameters


def scope_condition(scope: ReadScope, parameters: Parameters) -> str:
    """What of ``pgvector.documents d`` lies in ``scope``; true or false, never null."""
    return scope_sql.compile(
        scope, parameters, document_id="d.document_id", granted=lambda readers: _granted("d", readers)
    )


def readable_documents(corpus: str, scope: ReadScope, parameters: Parameters) -> str:
    """The documents ``d`` of the corpus that lie in ``scope``, as what follows a FROM."""
    documents = f"pgvector.documents d WHERE d.corpus_id = {corpus}"
    match scope:
        case ReadableBy(readers):
            # An index look-up for each of the caller's lists: who may read little pays for that and not for the corpus.
            lists = f"SELECT DISTINCT {_lists(parameters.bind(sorted(readers), 'text[]'))}"
            return f"""({lists}) AS l CROSS JOIN LATERAL (
        SELECT d.* FROM {documents} AND d.access_list = l.access_list OFFSET 0
    ) AS d WHERE true"""
        case _:
            return f"{documents} AND {scope_condition(scope, parameters)}"


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
    return f"({table}.access_list IN (SELECT {_lists(readers)})) IS TRUE"


def _lists(readers: str) -> str:
    return (
        "l.access_list FROM pgvector.access_lists l"
        f" WHERE l.reader = ANY({readers}) AND (l.expires_at IS NULL OR l.expires_at > now())"
    )
