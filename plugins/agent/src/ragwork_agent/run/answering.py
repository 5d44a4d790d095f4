"""The capability ``Answering``: runs without a stream, and what runs of before asked and cited."""

from collections.abc import Collection, Mapping
from typing import Any, Final
from uuid import uuid4

from ragwork_hooks.answering import CitedAnswer, CitedQuote, PastRun
from ragwork_hooks.auth import Principal
from ragwork_hooks.documents import Corpus
from ragwork_hooks.storage import Transaction

from ragwork_agent.run.run import Run, RunInput
from ragwork_agent.run.runtime import AgentRuntime
from ragwork_agent.sessions.session_store import SessionKey

#: Question and answer of each (user, request id). Parameters: users, request ids.
_PAST: Final = """
SELECT q.user_id, q.request_id, q.session_id, q.text, a.citations,
    coalesce(s.corpus_ids, ARRAY[s.corpus_id]) AS corpus_ids
FROM unnest($1::text[], $2::text[]) AS w (user_id, request_id)
JOIN agent.messages q ON q.tenant_id = ragwork.tenant() AND q.user_id = w.user_id
    AND q.request_id = w.request_id AND q.role = 'user'
JOIN agent.messages a ON a.tenant_id = q.tenant_id AND a.user_id = q.user_id AND a.session_id = q.session_id
    AND a.turn = q.turn AND a.role = 'assistant'
JOIN agent.sessions s ON s.tenant_id = q.tenant_id AND s.user_id = q.user_id AND s.id = q.session_id
"""


class RunAnswering:
    """Implements ``ragwork_hooks.answering.Answering``."""

    def __init__(self, runtime: AgentRuntime) -> None:
        self._runtime = runtime

    async def answer(self, principal: Principal, corpus: Corpus, question: str, top_k: int) -> CitedAnswer:
        """See ``Answering.answer``."""
        request_id = uuid4().hex
        asked = RunInput(
            principal=principal,
            request_id=request_id,
            session_id=f"answer-{request_id}",
            corpus_ids=(corpus.id,),
            corpora=(corpus,),
            message=question,
            top_k=top_k,
        )
        run = Run(self._runtime, asked)
        try:
            async for _frame in run.frames():
                pass
        finally:
            async with self._runtime.services.db.tenant(principal.tenant_id) as tx:
                key = SessionKey(user_id=principal.user_id, session_id=asked.session_id)
                await self._runtime.erase_session(tx, key)
        if run.answer is None:
            raise RuntimeError("the run ended without an answer")
        quotes = [CitedQuote(document_id=c.document_id, quote=c.quote) for c in run.answer.citations]
        return CitedAnswer(text=run.answer.text, citations=quotes)

    async def past_runs(
        self, tx: Transaction, runs: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], PastRun]:
        """See ``Answering.past_runs``."""
        users, requests = [user for user, _ in runs], [request for _, request in runs]
        rows = await tx.fetch(_PAST, users, requests)
        return {
            (row["user_id"], row["request_id"]): PastRun(
                session_id=row["session_id"],
                question=row["text"],
                corpus_ids=row["corpus_ids"],
                citations=[_quote(citation) for citation in row["citations"]],
            )
            for row in rows
        }


def _quote(stored: Mapping[str, Any]) -> CitedQuote:
    return CitedQuote(document_id=stored["document_id"], quote=stored["quote"])
