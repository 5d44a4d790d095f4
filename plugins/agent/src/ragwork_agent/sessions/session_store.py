"""Sessions, turns and messages in Postgres; every function is one statement in the caller's transaction."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeAlias

import attrs
from ragwork_hooks.errors import Problem
from ragwork_hooks.storage import Row, Transaction
from ragwork_toolkit.rows import from_row

from ragwork_agent.schemas import Citation, MessageView, SessionView, TokenUsage

#: How long a run that stopped breathing keeps its session; a live one renews it every third of that.
LEASE_S = 30.0
#: Characters of one earlier message that a prompt may carry.
PAST_CHARS = 8_000

Role: TypeAlias = Literal["user", "assistant"]
# LangGraph's checkpoint as JSON; its shape is LangGraph's business.
Checkpoint: TypeAlias = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class SessionKey:
    """A session's name: the same id of another user is another session."""

    user_id: str
    session_id: str


@attrs.frozen(kw_only=True)
class PastMessage:
    """An earlier message. ``sources`` are the documents whose text it may carry."""

    turn: int
    role: Role
    text: str
    sources: frozenset[str] = frozenset()


@attrs.frozen(kw_only=True)
class Turn:
    """A run's hold on its session."""

    key: SessionKey
    number: int
    request_id: str
    history: Sequence[PastMessage]
    checkpoint: Checkpoint | None


@attrs.frozen(kw_only=True)
class TurnResult:
    """What a run leaves behind. No text leaves no message. ``provider`` answered; ``model`` is ``None`` for its own."""

    status: Literal["complete", "partial"]
    usage: TokenUsage
    text: str = ""
    finish_reason: str | None = None
    provider: str | None = None
    model: str | None = None
    citations: Sequence[Citation] = ()
    sources: frozenset[str] = frozenset()
    checkpoint: Checkpoint | None = None


#: A session's last messages before a turn, oldest first, each cut. Parameters: user, session, turn, limit.
_HISTORY = f"""
SELECT coalesce(json_agg(h ORDER BY h.turn, h.role DESC), '[]') FROM (
    SELECT turn, role, left(text, {PAST_CHARS}) AS text, sources FROM agent.messages
    WHERE tenant_id = ragwork.tenant() AND user_id = $1 AND session_id = $2 AND turn < $3
    ORDER BY turn DESC, role LIMIT $4
) h"""  # noqa: S608  # built from constants

# One statement takes the turn, keeps the question and reads what came before.
_OPEN = f"""
WITH opened AS (
    INSERT INTO agent.sessions AS s (tenant_id, user_id, id, corpus_id, corpus_ids, turn, busy_until)
    VALUES (ragwork.tenant(), $1, $2, ($5::text[])[1], $5, 1, clock_timestamp() + $6 * interval '1 second')
    ON CONFLICT (tenant_id, user_id, id) DO UPDATE SET
        turn = s.turn + 1, corpus_id = excluded.corpus_id, corpus_ids = excluded.corpus_ids, updated_at = now(),
        busy_until = clock_timestamp() + $6 * interval '1 second'
    WHERE s.busy_until IS NULL OR s.busy_until <= clock_timestamp()
    RETURNING turn, answered, checkpoint
), asked AS (
    INSERT INTO agent.messages (tenant_id, user_id, session_id, turn, role, text, request_id)
    SELECT ragwork.tenant(), $1, $2, turn, 'user', $7, $8 FROM opened
)
SELECT turn, answered, checkpoint, ({_HISTORY}) AS history FROM opened"""  # noqa: S608

# An answer belongs to its question, so a stale run can add its own but not touch a newer run's state.
_CLOSE = """
WITH closed AS (
    UPDATE agent.sessions SET
        busy_until = CASE WHEN turn = $3 THEN NULL ELSE busy_until END,
        checkpoint = CASE WHEN turn = $3 THEN coalesce($4::jsonb, checkpoint) ELSE checkpoint END,
        answered = CASE WHEN $5 = '' THEN answered ELSE greatest(answered, $3) END,
        updated_at = now()
    WHERE tenant_id = ragwork.tenant() AND user_id = $1 AND id = $2 AND EXISTS (
        SELECT FROM agent.messages WHERE tenant_id = ragwork.tenant() AND user_id = $1 AND session_id = $2
            AND turn = $3 AND role = 'user' AND request_id = $10)
    RETURNING id
)
INSERT INTO agent.messages
    (tenant_id, user_id, session_id, turn, role, text, status, citations, sources, usage, request_id, finish_reason)
SELECT ragwork.tenant(), $1, $2, $3, 'assistant', $5, $6, $7::jsonb, $8::text[], $9::jsonb, $10, $11
FROM closed WHERE $5 <> ''
ON CONFLICT DO NOTHING"""

_RENEW = """
UPDATE agent.sessions SET busy_until = clock_timestamp() + $4 * interval '1 second'
WHERE tenant_id = ragwork.tenant() AND user_id = $1 AND id = $2 AND turn = $3 AND busy_until IS NOT NULL"""

#: A user's sessions, newest first; ``corpus_id`` wins over corpora that differ. Parameters: user, limit, offset.
_LIST = """
SELECT id, corpus_id, turn,
    CASE WHEN corpus_ids[1] = corpus_id THEN corpus_ids ELSE ARRAY[corpus_id] END AS corpus_ids,
    coalesce(busy_until > clock_timestamp(), false) AS busy, created_at, updated_at
FROM agent.sessions WHERE tenant_id = ragwork.tenant() AND user_id = $1
ORDER BY created_at DESC, id LIMIT $2 OFFSET $3"""

# A session without messages still gives one row, so that it differs from one that does not exist.
_MESSAGES = """
SELECT m.turn, m.role, m.text, m.status, m.finish_reason, m.citations, m.sources, m.created_at
FROM agent.sessions s LEFT JOIN LATERAL (
    SELECT * FROM agent.messages WHERE tenant_id = ragwork.tenant() AND user_id = $1 AND session_id = $2
    ORDER BY turn, role DESC LIMIT $3 OFFSET $4
) m ON true
WHERE s.tenant_id = ragwork.tenant() AND s.user_id = $1 AND s.id = $2 ORDER BY m.turn, m.role DESC"""

# The locks keep runs from adding to a session until it is clear whether it goes.
_LOCK_AGED = """
SELECT s.user_id, s.id AS session_id FROM agent.sessions s
WHERE s.tenant_id = ragwork.tenant() AND EXISTS (
    SELECT FROM agent.messages m WHERE m.tenant_id = s.tenant_id AND m.user_id = s.user_id
        AND m.session_id = s.id AND m.created_at < now() - $1::interval)
ORDER BY s.user_id, s.id LIMIT $2 FOR UPDATE OF s"""

#: Deletes old messages of sessions that are locked by now and counts them. Parameters: users, sessions, age.
_DELETE_AGED = """
WITH gone AS (
    DELETE FROM agent.messages m USING unnest($1::text[], $2::text[]) AS k(user_id, session_id)
    WHERE m.tenant_id = ragwork.tenant() AND m.user_id = k.user_id AND m.session_id = k.session_id
        AND m.created_at < now() - $3::interval
    RETURNING 1)
SELECT count(*) FROM gone"""

_EMPTY = """
SELECT k.user_id, k.session_id FROM unnest($1::text[], $2::text[]) AS k(user_id, session_id)
WHERE NOT EXISTS (SELECT FROM agent.messages m WHERE m.tenant_id = ragwork.tenant()
    AND m.user_id = k.user_id AND m.session_id = k.session_id)"""


async def open_turn(
    tx: Transaction,
    key: SessionKey,
    *,
    corpus_ids: Sequence[str],
    question: str,
    request_id: str,
    history: int,
) -> Turn:
    """Take the session's next turn and keep ``question``. Raises ``Problem`` 409 SESSION_BUSY."""
    row = await tx.fetchrow(
        _OPEN,
        key.user_id,
        key.session_id,
        2**31 - 1,
        history,
        list(corpus_ids),
        LEASE_S,
        question,
        request_id,
    )
    if row is None:
        raise Problem("SESSION_BUSY", "another run of this session is under way")
    number: int = row["turn"]
    past = _past(row["history"])
    if history and row["answered"] > max((p.turn for p in past if p.role == "assistant"), default=0):
        # The answer before this turn was committed while this statement waited for the session.
        past = _past(await tx.fetchval(_HISTORY, key.user_id, key.session_id, number, history))
    return Turn(key=key, number=number, request_id=request_id, history=past, checkpoint=row["checkpoint"])


async def close_turn(tx: Transaction, turn: Turn, result: TurnResult) -> None:
    """Keep the answer, release the session. A session deleted meanwhile stays deleted."""
    await tx.execute(
        _CLOSE,
        turn.key.user_id,
        turn.key.session_id,
        turn.number,
        result.checkpoint,
        result.text,
        result.status,
        [citation.as_json() for citation in result.citations],
        sorted(result.sources),
        result.usage.as_json(),
        turn.request_id,
        result.finish_reason,
    )


async def renew_turn(tx: Transaction, turn: Turn) -> bool:
    """Extend the lease; false when the session is no longer this run's."""
    done = await tx.execute(_RENEW, turn.key.user_id, turn.key.session_id, turn.number, LEASE_S)
    return done == "UPDATE 1"


async def list_sessions(tx: Transaction, user_id: str, *, limit: int, offset: int) -> Sequence[SessionView]:
    """The user's sessions, newest first."""
    rows = await tx.fetch(_LIST, user_id, limit, offset)
    return [from_row(SessionView, row, turns=row["turn"]) for row in rows]


async def messages(
    tx: Transaction, key: SessionKey, *, limit: int, offset: int
) -> Sequence[tuple[MessageView, frozenset[str]]] | None:
    """Messages in order, each with its sources; ``None`` when the user has no such session."""
    rows = await tx.fetch(_MESSAGES, key.user_id, key.session_id, limit, offset)
    if not rows:
        return None
    return [
        (from_row(MessageView, row, redacted=False), frozenset(row["sources"]))
        for row in rows
        if row["turn"] is not None
    ]


async def delete_session(tx: Transaction, key: SessionKey) -> bool:
    """Remove the session with its messages; false when the user has none of that id."""
    done = await tx.execute(
        "DELETE FROM agent.sessions WHERE tenant_id = ragwork.tenant() AND user_id = $1 AND id = $2",
        key.user_id,
        key.session_id,
    )
    return done == "DELETE 1"


async def lock_aged(tx: Transaction, older_than: timedelta, limit: int) -> Sequence[SessionKey]:
    """Lock sessions that have messages older than that by the database's clock, at most ``limit``."""
    return _keys(await tx.fetch(_LOCK_AGED, older_than, limit))


async def delete_aged(tx: Transaction, keys: Sequence[SessionKey], older_than: timedelta) -> int:
    """Remove such messages of the locked sessions ``keys``; how many there were."""
    count: int = await tx.fetchval(_DELETE_AGED, *_columns(keys), older_than)
    return count


async def empty(tx: Transaction, keys: Sequence[SessionKey]) -> Sequence[SessionKey]:
    """Those of ``keys`` that have no message left."""
    return _keys(await tx.fetch(_EMPTY, *_columns(keys)))


def _keys(rows: Sequence[Row]) -> Sequence[SessionKey]:
    return [SessionKey(user_id=row["user_id"], session_id=row["session_id"]) for row in rows]


def _columns(keys: Sequence[SessionKey]) -> tuple[list[str], list[str]]:
    return [key.user_id for key in keys], [key.session_id for key in keys]


def _past(rows: Sequence[Mapping[str, Any]]) -> Sequence[PastMessage]:
    return [
        PastMessage(turn=r["turn"], role=r["role"], text=r["text"], sources=frozenset(r["sources"]))
        for r in rows
    ]
