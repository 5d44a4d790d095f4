"""What of a session's past may enter a prompt today."""

from collections.abc import Sequence

from ragwork_hooks.auth import Principal
from ragwork_hooks.documents import DocumentCatalog
from ragwork_hooks.llm import Message
from ragwork_hooks.storage import Transaction

from ragwork_agent.sessions.session_store import PastMessage

#: Documents that one answer may go back to, by way of the history. Older messages give way.
SOURCE_LIMIT = 200


async def admissible(
    tx: Transaction, catalog: DocumentCatalog, principal: Principal, history: Sequence[PastMessage]
) -> Sequence[PastMessage]:
    """The messages that carry no text of a document that ``principal`` can't read now.

    One round trip when any message goes back to a document, else none.
    """
    wanted = frozenset[str]().union(*(past.sources for past in history))
    if not wanted:
        return history
    readable = await catalog.readable(tx, principal, sorted(wanted))
    return _newest([past for past in history if past.sources <= readable])


def as_prompt(history: Sequence[PastMessage]) -> Sequence[Message]:
    """The messages for the model."""
    return [Message(role=past.role, content=past.text) for past in history]


def _newest(history: Sequence[PastMessage]) -> Sequence[PastMessage]:
    """The newest messages that together go back to at most ``SOURCE_LIMIT`` documents."""
    seen: frozenset[str] = frozenset()
    for index in range(len(history) - 1, -1, -1):
        seen |= history[index].sources
        if len(seen) > SOURCE_LIMIT:
            return history[index + 1 :]
    return history
