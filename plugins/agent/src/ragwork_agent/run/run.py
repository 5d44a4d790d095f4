"""One run: take the turn, retrieve, stream the answer, close the turn, speak."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Literal

import attrs
from ragwork_hooks.admission import UNLIMITED, ServiceLimits
from ragwork_hooks.auth import Principal
from ragwork_hooks.documents import Corpus
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.http import Recorder, StreamEvent
from ragwork_hooks.llm import GenerationOptions
from ragwork_hooks.notification import Notification

from ragwork_agent.run.context import CheckpointSlot, RunContext
from ragwork_agent.run.event_queue import StreamEventQueue
from ragwork_agent.run.generation import of_corpora, open_model, overridden
from ragwork_agent.run.retrieval import Retrieval, RetrievedContext, UnrankedAnswers, prepare
from ragwork_agent.run.runtime import AgentRuntime
from ragwork_agent.schemas import RunAnswer, SessionTotals, Speech, TokenUsage
from ragwork_agent.sessions.session_lease import SessionLease
from ragwork_agent.sessions.session_store import SessionKey, Turn, TurnResult

NO_TOKENS = TokenUsage(input_tokens=0, output_tokens=0, estimated=True)


@attrs.frozen(kw_only=True)
class RunInput:
    """What a run is asked, and what it must do without. ``request_id`` is the server's own, ``origin`` this service as
    the caller addressed it; ``record`` writes its audit record in the transaction that takes the turn.
    """

    principal: Principal
    request_id: str
    session_id: str
    corpus_ids: Sequence[str]
    message: str
    top_k: int
    #: ``None`` for that of each corpus.
    min_score: float | None = None
    #: Those of ``corpus_ids`` where they are not to be asked as the catalogue has them.
    corpora: Sequence[Corpus] = ()
    audio: bool = False
    generation: GenerationOptions | None = None
    degrade: ServiceLimits = UNLIMITED
    notices: tuple[Notification, ...] = ()
    origin: str = ""
    record: Recorder | None = None


class Run:
    """One run. Its work is a task of its own beside the stream; closing ``frames`` cancels it.

    ``answer`` is set when it ended well.
    """

    def __init__(self, runtime: AgentRuntime, asked: RunInput) -> None:
        self._runtime = runtime
        self._services = runtime.services
        self._asked = asked
        self._key = SessionKey(user_id=asked.principal.user_id, session_id=asked.session_id)
        self._out = StreamEventQueue()
        self._context: RunContext | None = None
        self._started = self._services.clock.monotonic()
        self._silent = True
        self.answer: RunAnswer | None = None

    async def frames(self) -> AsyncIterator[StreamEvent]:
        """The run's events in the contract's order; raises ``Problem`` or ``ProviderError``.

        The turn is closed before ``message.final`` leaves, so a client that has it can ask again.
        """
        now = self._services.clock.now()
        yield StreamEvent(type="request.accepted", data={"accepted_at": now.isoformat()})
        for notice in self._asked.notices:
            yield StreamEvent(type=notice.type, data=notice.data, event=notice.type)
        work = self._runtime.tasks.start(self._work(), "run")
        work.add_done_callback(self._ended)
        pause = self._runtime.config.flush_interval_ms / 1000
        try:
            while frames := await self._out.take():
                for frame in frames:
                    yield frame
                    if pause and frame.type == "token.delta":
                        await asyncio.sleep(pause)
            await work
        finally:
            work.cancel()
            await asyncio.wait({work})

    def _ended(self, work: "asyncio.Task[None]") -> None:
        outcome = "cancelled" if work.cancelled() else "failed" if work.exception() else "answered"
        self._services.metrics.count("runs_total", "Runs by outcome", outcome=outcome)
        self._out.close()

    async def _work(self) -> None:
        asked = self._asked
        corpora = asked.corpora or [await self._corpus(corpus_id) for corpus_id in asked.corpus_ids]
        lease = SessionLease(
            self._runtime,
            asked.principal.tenant_id,
            self._key,
            asked.request_id,
            partial=self._partial,
            record=asked.record,
        )
        try:
            answer = await self._converse(lease, corpora)
        except ProviderError:
            if not lease.taken:
                await lease.note(asked.corpus_ids, asked.message)
            raise
        data = {
            "text": answer.text,
            "citations": [c.as_json() for c in answer.citations],
            "failed": [f.as_json() for f in answer.failed],
            "not_reranked": [n.as_json() for n in answer.not_reranked],
            "finish_reason": answer.finish_reason,
            "notice": answer.notice,
        }
        await self._out.put(StreamEvent(type="message.final", data=data))
        speech = await self._speech(answer.turn, answer.text)
        self.answer = attrs.evolve(answer, audio=speech)

    async def _corpus(self, corpus_id: str) -> Corpus:
        corpus = await self._runtime.catalog.corpus(self._asked.principal.tenant_id, corpus_id)
        if corpus is None:
            raise ProviderError("RETRIEVAL_CONFIG_INVALID", f"corpus {corpus_id!r} does not exist")
        return corpus

    async def _converse(self, lease: SessionLease, corpora: Sequence[Corpus]) -> RunAnswer:
        asked = self._asked
        graph = await self._runtime.graph.get()
        operators = self._runtime.config.llm_provider
        wanted = overridden(of_corpora(corpora), asked.generation, operators)
        model, generation = await open_model(self._services.providers, operators, wanted)
        retrieval = await prepare(
            self._runtime,
            asked.principal,
            corpora,
            asked.message,
            top_k=asked.top_k,
            min_score=asked.min_score,
            degrade=asked.degrade,
        )
        async with lease:
            async with lease.opened(asked.corpus_ids, asked.message) as (tx, turn):
                reading = await retrieval.read(tx, turn.history)
            context = self._context = RunContext(
                question=asked.message,
                context=await self._ranked(retrieval, reading),
                model=model,
                generation=generation,
                max_output_tokens=_least(asked.degrade.max_output_tokens, generation.max_tokens),
                say=self._say,
                dropped=self._dropped,
                slot=CheckpointSlot(turn.checkpoint),
            )
            totals = await graph.run(context, thread_id=self._thread())
            result = self._turn_result("complete")
            await lease.close(result)
        return self._answered(turn, result, context, totals)

    async def _ranked(self, retrieval: Retrieval, reading: UnrankedAnswers) -> RetrievedContext:
        context = await retrieval.ranked(reading)
        if self._runtime.config.debug_events:
            data = {"provider": ",".join(retrieval.providers), "num_chunks": len(context.found)}
            await self._out.put(StreamEvent(type="debug.retrieval", data=data))
        return context

    async def _say(self, piece: str) -> None:
        if self._silent:
            self._silent = False
            seconds = self._services.clock.monotonic() - self._started
            self._services.metrics.observe(
                "run_first_token_seconds", "From the request to the first piece of the answer", seconds
            )
        frame = StreamEvent(type="token.delta", data={"delta": piece})
        if not self._out.offer(frame):
            await self._out.put(frame)

    def _dropped(self, reason: str) -> None:
        self._services.metrics.count(
            "citations_dropped_total", "Citations that did not hold, by reason", reason=reason
        )

    def _thread(self) -> str:
        return f"{self._asked.principal.tenant_id}/{self._key.user_id}/{self._key.session_id}"

    def _partial(self) -> TurnResult:
        return self._turn_result("partial")

    def _turn_result(self, status: Literal["complete", "partial"]) -> TurnResult:
        context = self._context
        if context is None or context.cited is None:
            return TurnResult(status=status, usage=NO_TOKENS)
        provider, model = context.answered_by
        return TurnResult(
            text=context.cited.text,
            status=status,
            finish_reason=(context.finish_reason or "stop") if status == "complete" else None,
            provider=provider,
            model=model,
            citations=context.cited.citations,
            sources=context.context.sources,
            usage=context.usage,
            checkpoint=context.slot.taken if status == "complete" else None,
        )

    def _answered(
        self, turn: Turn, result: TurnResult, context: RunContext, totals: SessionTotals
    ) -> RunAnswer:
        return RunAnswer(
            session_id=self._key.session_id,
            turn=turn.number,
            text=result.text,
            citations=list(result.citations),
            failed=list(context.context.failed),
            not_reranked=list(context.context.not_reranked),
            finish_reason=result.finish_reason or "stop",
            # Who stands in for a model is no sign that there is none.
            notice=context.notice if turn.number == 1 and context.stand_in is None else None,
            usage=result.usage,
            session=totals,
        )

    async def _speech(self, turn: int, text: str) -> Speech | None:
        """Speak the answer when asked to, and when the grant leaves room for it."""
        if not self._asked.audio or not self._asked.degrade.audio:
            return None
        speech = await self._runtime.voice.speak(
            self._asked.principal, self._key, turn, text, origin=self._asked.origin
        )
        if speech.code is None:
            data = {"audio_url": speech.audio_url, "audio_id": speech.audio_id, "mime": speech.mime}
            await self._out.put(StreamEvent(type="audio.ready", data=data))
        else:
            data = {"code": speech.code, "message": speech.message}
            await self._out.put(StreamEvent(type="audio.error", data=data))
        return speech


def _least(one: int | None, other: int | None) -> int | None:
    """The lower of two limits, each of which may be none."""
    return min((limit for limit in (one, other) if limit is not None), default=None)
