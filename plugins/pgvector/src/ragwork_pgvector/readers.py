"""Who may read, as SQL over ``pgvector.documents d``."""

from ragwork_hooks.authz import ReadScope
from ragwork_toolkit import scope_sql
from ragwork_toolkit.scope_sql import Parameters


def scope_condition(scope: ReadScope, parameters: Parameters) -> str:
    """What of ``pgvector.documents d`` lies in ``scope``; true or false, never null."""
    return scope_sql.compile(scope, parameters, document_id="d.document_id", granted=_granted)


def _granted(readers: str) -> str:
    # IS TRUE keeps it a hash look-up of the caller's grants: without statistics a join may read the
    # grants once per document.
    return (
        "(d.document_id IN (SELECT r.document_id FROM pgvector.readers r"  # noqa: S608  # a placeholder only
        f" WHERE r.reader = ANY({readers}) AND (r.expires_at IS NULL OR r.expires_at > now()))) IS TRUE"
    )
