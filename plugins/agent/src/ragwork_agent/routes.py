"""The agent's routes."""

from collections.abc import AsyncIterator

import attrs
from ragwork_hooks.authz import Action
from ragwork_hooks.errors import not_found
from ragwork_hooks.http import AnyRoute, Empty, EventStream, File, Request, Route, StreamEvent
from ragwork_toolkit.paging import PageQuery
from ragwork_toolkit.routes import public_route, read_route, write_route

from ragwork_agent.run.events import RUN_EVENTS
from ragwork_agent.run.generation import check_provider
from ragwork_agent.run.run import Run, RunInput
from ragwork_agent.run.runtime import AgentRuntime
from ragwork_agent.schemas import MessageView, RunAnswer, RunRequest, SessionView
from ragwork_agent.sessions import session_store
from ragwork_agent.sessions.session_store import SessionKey

RUN = Action(name="run.create")
LIST = Action(name="session.list")
READ = Action(name="session.read")
DELETE = Action(name="session.delete")
#: Feature key of spoken answers, beside ``retrieval.<provider>`` of each corpus.
SPEECH = "tts"
#: Feature key of a run that says who answers it.
OVERRIDE = "generation.override"


class Handlers:
    """What the routes do."""

    def __init__(self, runtime: AgentRuntime) -> None:
        self._runtime = runtime

    async def run(self, request: Request[RunRequest, Empty]) -> EventStream | RunAnswer:
        """Stream the answer, or give it whole to a caller that accepts JSON only."""
        await check_provider(self._runtime.services.providers, request.body.generation)
        run = Run(self._runtime, _asked(request))
        if _wants_json(request.headers.get("accept")):
            return await self._whole(run, request)
        resumes = request.headers.get("last-event-id") is not None
        return EventStream(
            frames=_resume_unsupported() if resumes else run.frames(),
            fields={"session_id": request.body.session_id},
            heartbeat_s=self._runtime.config.heartbeat_s,
            headers={"X-Accel-Buffering": "no"},
        )

    async def _whole(self, run: Run, request: Request[RunRequest, Empty]) -> RunAnswer:
        for corpus_id in request.body.corpora:
            if await self._runtime.catalog.corpus(request.principal.tenant_id, corpus_id) is None:
                raise not_found("corpus", corpus_id)
        async for _frame in run.frames():
            pass
        if run.answer is None:
            raise RuntimeError("the run ended without an answer")
        return run.answer

    async def features(self, request: Request[RunRequest, Empty]) -> tuple[str, ...]:
        """The entitlements of each corpus' retrieval provider, of speech and of an override; none for a corpus
        that does not exist.
        """
        body, tenant_id = request.body, request.principal.tenant_id
        corpora = [await self._runtime.catalog.corpus(tenant_id, corpus_id) for corpus_id in body.corpora]
        wanted = dict.fromkeys(f"retrieval.{corpus.retriever}" for corpus in corpora if corpus is not None)
        extras = ((SPEECH, body.audio), (OVERRIDE, body.generation is not None))
        return (*wanted, *(feature for feature, is_asked in extras if is_asked))

    async def audio(self, request: Request[Empty, Empty]) -> File:
        """The sound of an answer."""
        return await self._runtime.voice.fetch(request.path["audio_id"])

    async def list_sessions(self, request: Request[Empty, PageQuery]) -> list[SessionView]:
        """The caller's own sessions."""
        window = request.query
        return list(
            await session_store.list_sessions(
                request.tx, request.principal.user_id, limit=window.limit, offset=window.offset
            )
        )

    async def messages(self, request: Request[Empty, PageQuery]) -> list[MessageView]:
        """A session's messages, without what the caller may no longer read."""
        key, window = _key(request), request.query
        found = await session_store.messages(request.tx, key, limit=window.limit, offset=window.offset)
        if found is None:
            raise not_found("session", key.session_id)
        wanted = frozenset[str]().union(*(sources for _message, sources in found))
        readable = (
            await self._runtime.catalog.readable(request.tx, request.principal, sorted(wanted))
            if wanted
            else wanted
        )
        return [
            message if sources <= readable else attrs.evolve(message, text="", citations=[], redacted=True)
            for message, sources in found
        ]

    async def delete(self, request: Request[Empty, Empty]) -> None:
        """Erase a session with its messages and speech."""
        key = _key(request)
        if not await self._runtime.erase_session(request.tx, key):
            raise not_found("session", key.session_id)


async def _resume_unsupported() -> AsyncIterator[StreamEvent]:
    yield StreamEvent(
        type="resume.unsupported",
        data={"message": "a stream can't be resumed; send the request again without Last-Event-ID"},
    )


def _asked(request: Request[RunRequest, Empty]) -> RunInput:
    body = request.body
    return RunInput(
        principal=request.principal,
        request_id=request.request_id,
        session_id=body.session_id,
        corpus_ids=body.corpora,
        message=body.message,
        top_k=body.top_k,
        min_score=body.min_score,
        audio=body.audio,
        generation=body.generation,
        degrade=request.admission.degrade,
        notices=request.admission.notices,
        origin=request.origin,
        record=request.record,
    )


def _wants_json(accept: str | None) -> bool:
    kinds = {part.split(";")[0].strip().lower() for part in (accept or "").split(",")}
    return "application/json" in kinds and "text/event-stream" not in kinds


def _key(request: "Request[Empty, PageQuery] | Request[Empty, Empty]") -> SessionKey:
    return SessionKey(user_id=request.principal.user_id, session_id=request.path["session_id"])


def routes(runtime: AgentRuntime) -> tuple[AnyRoute, ...]:
    """Every route of the agent, bound to ``runtime``."""
    do = Handlers(runtime)
    return (
        Route(
            name="run.create",
            method="POST",
            path="/v1/run",
            summary="Ask a corpus or several; the answer streams as server-sent events, or comes whole as JSON",
            handler=do.run,
            scope="tenant",
            action=RUN,
            rate_class="run",
            switch="run",
            idempotency="none",
            audit_event="run.invoked",
            feature=do.features,
            stale_reads=False,
            transaction="own",
            response=RunAnswer,
            body=RunRequest,
            body_kind="json",
            media_type="text/event-stream",
            events=RUN_EVENTS,
            errors=("NOT_FOUND", "SESSION_BUSY"),
            legacy=True,
        ),
        public_route(
            name="audio.get",
            method="GET",
            path="/v1/audio/{audio_id}.mp3",
            summary="The speech of an answer",
            handler=do.audio,
            response=None,
            media_type="audio/mpeg",
            errors=("NOT_FOUND",),
            legacy=True,
        ),
        read_route(
            name="sessions.list",
            path="/v1/sessions",
            summary="Your sessions, newest first",
            handler=do.list_sessions,
            action=LIST,
            stale_reads=True,
            response=list[SessionView],
            query=PageQuery,
        ),
        read_route(
            name="sessions.messages",
            path="/v1/sessions/{session_id}/messages",
            summary="The messages of one of your sessions, in order",
            handler=do.messages,
            action=READ,
            response=list[MessageView],
            query=PageQuery,
            errors=("NOT_FOUND",),
        ),
        write_route(
            name="sessions.delete",
            method="DELETE",
            path="/v1/sessions/{session_id}",
            summary="Erase one of your sessions with its messages and speech",
            handler=do.delete,
            action=DELETE,
            audit_event="sessions.deleted",
            idempotency="accepted",
            response=None,
            status=204,
            errors=("NOT_FOUND",),
        ),
    )
