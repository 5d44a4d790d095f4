"""The events of a run's stream, as the API's description shows them."""

from datetime import datetime
from typing import Final

import attrs
from ragwork_hooks.http import EventTypes

from ragwork_agent.schemas import Citation, RunFailedCorpus, RunNotReranked


@attrs.frozen(kw_only=True)
class StreamFields:
    """What every event of a run carries."""

    #: The session that the run belongs to. Example: "s1"
    session_id: str


@attrs.frozen(kw_only=True)
class RequestAccepted:
    """The run begins."""

    #: When it was taken on.
    accepted_at: datetime


@attrs.frozen(kw_only=True)
class DebugRetrieval:
    """What was found, sent when the operator asks for it with `DEBUG_EVENTS`."""

    #: The retrievers that were asked, with commas between. Example: "local_pgvector"
    provider: str
    #: Passages that the answer may stand on. Example: 5
    num_chunks: int


@attrs.frozen(kw_only=True)
class TokenDelta:
    """A piece of the answer."""

    #: Text to append to what came before. Example: "Every employee "
    delta: str


@attrs.frozen(kw_only=True)
class MessageFinal:
    """The whole answer, stored."""

    #: All pieces together. Example: "Every employee has 30 days of paid leave a year. [1]"
    text: str
    #: Where its parts come from, one for each mark.
    citations: list[Citation]
    #: Corpora that could not be asked.
    failed: list[RunFailedCorpus]
    #: Corpora whose reranker failed, or did not get through within its budget of time.
    not_reranked: list[RunNotReranked]
    #: Why it ended: `stop` at its own end, `length` at the limit of tokens, `content_filter` where the model's
    #: provider held back the rest, `incomplete` where its stream broke off without a word. Example: "stop"
    finish_reason: str
    #: What the provider says beside the session's first answer, for whoever builds on it; null otherwise.
    #: Example: null
    notice: str | None


@attrs.frozen(kw_only=True)
class AudioReady:
    """The answer as sound."""

    #: Where to fetch it. Example: "http://127.0.0.1:8000/v1/audio/9f2c.mp3"
    audio_url: str
    #: Its id. Example: "9f2c"
    audio_id: str
    #: Its media type. Example: "audio/mpeg"
    mime: str


@attrs.frozen(kw_only=True)
class AudioError:
    """Why there is no sound; the text stands."""

    #: Stable, for programs. Example: "TTS_ERROR"
    code: str
    #: For people. Example: "the speech provider did not answer"
    message: str


@attrs.frozen(kw_only=True)
class ResumeUnsupported:
    """The request asked to go on with an earlier stream."""

    #: What to do instead. Example: "a stream can't be resumed; send the request again without Last-Event-ID"
    message: str


RUN_EVENTS: Final = EventTypes(
    fields=StreamFields,
    data={
        "request.accepted": RequestAccepted,
        "debug.retrieval": DebugRetrieval,
        "token.delta": TokenDelta,
        "message.final": MessageFinal,
        "audio.ready": AudioReady,
        "audio.error": AudioError,
        "resume.unsupported": ResumeUnsupported,
    },
)
