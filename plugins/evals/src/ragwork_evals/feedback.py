"""What people think of answers: kept for its author, listed for administrators, erased with either."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Final

from ragwork_hooks.answering import Answering
from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import Everything, OwnedBy, ReadScope
from ragwork_hooks.errors import not_found
from ragwork_hooks.governance import DataColumn, SortOrder, Subject
from ragwork_hooks.storage import Row, Transaction
from ragwork_toolkit import scope_sql
from ragwork_toolkit.data_table import BATCH, DataTable, TableStore, scope_of
from ragwork_toolkit.scope_sql import Parameters

from ragwork_evals.schemas import FeedbackRequest

#: An opinion, which takes the place of an earlier one. Parameters: request, user, session, and what is said.
_PUT: Final = """
INSERT INTO evals.feedback (tenant_id, request_id, user_id, session_id, rating, comment, expected)
VALUES (ragwork.tenant(), $1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, user_id, request_id) DO UPDATE SET rating = EXCLUDED.rating, comment = EXCLUDED.comment,
    expected = EXCLUDED.expected, updated_at = now()
RETURNING *
"""
_PAGE: Final = """
SELECT * FROM evals.feedback WHERE tenant_id = ragwork.tenant()
ORDER BY created_at DESC, user_id, request_id LIMIT $1 OFFSET $2
"""


def _within(scope: ReadScope, parameters: Parameters) -> str:
    """Feedback stands in a scope as its run's session does, see the agent's messages."""
    return scope_sql.compile(
        scope,
        parameters,
        document_id="(d.user_id || '/' || d.session_id)",
        granted=lambda readers: f"('user:' || d.user_id) = ANY({readers})",
    )


_TABLE: Final = DataTable(
    source="(SELECT f.*, f.user_id AS owner, '{}'::jsonb AS labels FROM evals.feedback f) d",
    columns=(
        DataColumn(name="user_id", type="text", about="whose opinion", facet=True),
        DataColumn(name="request_id", type="text", about="the run that it is about"),
        DataColumn(name="session_id", type="text", about="the session of that run"),
        DataColumn(name="rating", type="text", about="up or down", facet=True),
        DataColumn(name="created_at", type="time", about="when it was said first"),
    ),
    key=("user_id", "request_id"),
    within=_within,
)


class Feedback:
    """Works inside the caller's transaction."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    async def put(self, tx: Transaction, principal: Principal, request_id: str, said: FeedbackRequest) -> Row:
        """The caller's opinion of a run of theirs. Raises ``Problem`` 404 for any other run."""
        run = (principal.user_id, request_id)
        past = (await self._answering.past_runs(tx, [run])).get(run)
        if past is None:
            raise not_found("run", request_id)
        row = await tx.fetchrow(
            _PUT, request_id, principal.user_id, past.session_id, said.rating, said.comment, said.expected
        )
        if row is None:
            raise RuntimeError("an upsert gave no row")
        return row

    async def page(self, tx: Transaction, limit: int, offset: int) -> Sequence[Row]:
        """The latest first."""
        return await tx.fetch(_PAGE, limit, offset)


class FeedbackStore(TableStore):
    """Implements ``DataStore``. Feedback is its author's; questions that were made of it go with it."""

    name = "feedback"
    about = "What people said of answers, and the questions that were made of it"
    table = _TABLE
    order = SortOrder(column="created_at", descending=True)

    async def scope(self, principal: Principal) -> ReadScope:
        """One's own."""
        return OwnedBy(principal.user_id)

    async def export(self, tx: Transaction, subject: Subject) -> AsyncIterator[Row]:
        """Each opinion with its words."""
        whole = "d.user_id, d.request_id, d.session_id, d.rating, d.comment, d.expected, d.created_at, d.updated_at"
        async for rows in _TABLE.batches(tx, scope_of(subject, tx, "session"), whole):
            for row in rows:
                yield dict(row)

    async def erase(self, tx: Transaction, subject: Subject) -> int:
        return await self._erase(tx, scope_of(subject, tx, "session"), None)

    async def expire(self, tx: Transaction, older_than: timedelta) -> int:
        return await self._erase(tx, Everything(), older_than)

    async def _erase(self, tx: Transaction, scope: ReadScope, older_than: timedelta | None) -> int:
        p = Parameters()
        where = _TABLE.where(scope, p)
        if older_than is not None:
            where += f" AND d.created_at < now() - {p.bind(older_than, 'interval')}"
        rows = await tx.fetch(
            f"""WITH gone AS (
                SELECT d.user_id, d.request_id FROM {_TABLE.source} WHERE {where}
                ORDER BY d.user_id, d.request_id LIMIT {BATCH}
            )
            DELETE FROM evals.feedback f USING gone
            WHERE f.tenant_id = ragwork.tenant() AND f.user_id = gone.user_id AND f.request_id = gone.request_id
            RETURNING f.request_id""",  # noqa: S608  # placeholders only
            *p.values,
        )
        return len(rows)
