"""Messages as ``ragwork_hooks.governance.DataStore``: listed, counted, exported, erased and expired."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Final

from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import OwnedBy, ReadScope
from ragwork_hooks.governance import DataColumn, SortOrder, Subject
from ragwork_hooks.storage import Row, Transaction
from ragwork_toolkit import scope_sql
from ragwork_toolkit.data_table import BATCH, DataTable, TableStore, scope_of
from ragwork_toolkit.scope_sql import Parameters

from ragwork_agent.run.runtime import AgentRuntime
from ragwork_agent.sessions import session_store
from ragwork_agent.sessions.session_store import SessionKey


def _within(scope: ReadScope, parameters: Parameters) -> str:
    """A message stands in a scope as a document would that its user owns and alone may read; its id is that of its
    session, as ``Subject`` writes it.
    """
    return scope_sql.compile(
        scope,
        parameters,
        document_id="(d.user_id || '/' || d.session_id)",
        granted=lambda readers: f"('user:' || d.user_id) = ANY({readers})",
    )


_TABLE: Final = DataTable(
    source="""(SELECT m.*, m.user_id AS owner, '{}'::jsonb AS labels, length(m.text) AS characters,
        cardinality(m.sources) AS documents FROM agent.messages m) d""",
    columns=(
        DataColumn(name="user_id", type="text", about="whose session it is in", facet=True),
        DataColumn(name="session_id", type="text", about="the session, of that user"),
        DataColumn(name="turn", type="integer", about="the run of the session, from 1"),
        DataColumn(name="role", type="text", about="who speaks: user or assistant", facet=True),
        DataColumn(name="status", type="text", about="whether it was said to its end", facet=True),
        DataColumn(name="characters", type="integer", about="how long it is"),
        DataColumn(name="documents", type="integer", about="how many documents its text may go back to"),
        DataColumn(name="created_at", type="time", about="when it was kept"),
    ),
    # By time, so that a question stands before its answer.
    key=("user_id", "session_id", "turn", "created_at", "role"),
    within=_within,
)
_WHOLE: Final = """d.user_id, d.session_id, d.turn, d.role, d.text, d.status, d.finish_reason, d.citations, d.sources,
    d.usage, d.request_id, d.created_at"""


class MessageStore(TableStore):
    """Implements ``DataStore``. A message is its session's user's, and goes with everything the session has."""

    name = "messages"
    about = "Questions and answers of sessions, with the sound of answers; a list shows no text"
    table = _TABLE
    order = SortOrder(column="created_at", descending=True)

    def __init__(self, runtime: AgentRuntime) -> None:
        self._runtime = runtime

    async def scope(self, principal: Principal) -> ReadScope:
        """As ``GET /v1/sessions``: one's own."""
        return OwnedBy(principal.user_id)

    async def export(self, tx: Transaction, subject: Subject) -> AsyncIterator[Row]:
        """Each message with its text and citations."""
        async for rows in _TABLE.batches(tx, scope_of(subject, tx, "session"), _WHOLE):
            for row in rows:
                yield dict(row)

    async def erase(self, tx: Transaction, subject: Subject) -> int:
        """Whole sessions, as ``DELETE /v1/sessions/{session_id}`` does."""
        p = Parameters()
        rows = await tx.fetch(
            f"""SELECT d.user_id, d.session_id, count(*) AS messages FROM {_TABLE.source}
            WHERE {_TABLE.where(scope_of(subject, tx, "session"), p)}
            GROUP BY d.user_id, d.session_id ORDER BY d.user_id, d.session_id LIMIT {BATCH}""",  # noqa: S608  # placeholders
            *p.values,
        )
        for row in rows:
            await self._runtime.erase_session(
                tx, SessionKey(user_id=row["user_id"], session_id=row["session_id"])
            )
        return sum(row["messages"] for row in rows)

    async def expire(self, tx: Transaction, older_than: timedelta) -> int:
        """Messages past their age, with all speech of their sessions; sessions that are left empty go, too."""
        keys = await session_store.lock_aged(tx, older_than, BATCH)
        gone = await session_store.delete_aged(tx, keys, older_than)
        for key in keys:
            await self._runtime.voice.forget(tx, key)
        for key in await session_store.empty(tx, keys):
            await self._runtime.erase_session(tx, key)
        return gone
