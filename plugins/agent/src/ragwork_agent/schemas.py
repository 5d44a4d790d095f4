"""Bodies and answers of the agent's routes."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import attrs
from ragwork_hooks.fields import SCHEMA, FieldError, identifier, number, text
from ragwork_hooks.llm import GenerationOptions

MESSAGE_LIMIT = 32_000
#: Corpora that one run may ask.
CORPUS_LIMIT = 8


@attrs.frozen(kw_only=True)
class _CorpusId:
    """One of several corpora's ids."""

    value: str = identifier()


def _check_corpora(
    _request: object, field: "attrs.Attribute[list[str] | None]", ids: list[str] | None
) -> None:
    if ids is None:
        return
    try:
        if not 1 <= len(ids) <= CORPUS_LIMIT:
            raise FieldError("list_length", f"has {len(ids)} ids, 1 to {CORPUS_LIMIT} are taken")
        if len(set(ids)) < len(ids):
            raise FieldError("list_unique", "names a corpus twice")
        for corpus_id in ids:
            _CorpusId(value=corpus_id)
    except FieldError as error:
        error.field = field.name
        raise


@attrs.frozen(kw_only=True)
class RunRequest:
    """One question to one corpus, or to several at once, within a session: exactly one of ``corpus_id`` and
    ``corpus_ids``.
    """

    #: The conversation, yours to choose; the first run begins it. Example: "s1"
    session_id: str = identifier()
    #: One corpus to ask. Example: "c1"
    corpus_id: str | None = identifier(default=None)
    #: Several corpora to ask at once, instead of `corpus_id`.
    corpus_ids: list[str] | None = attrs.field(
        default=None,
        validator=_check_corpora,
        metadata={SCHEMA: {"minItems": 1, "maxItems": CORPUS_LIMIT, "uniqueItems": True}},
    )
    #: The question. Example: "How many days of leave do I have?"
    message: str = text(min_length=1, max_length=MESSAGE_LIMIT, visible=True)
    #: Passages that the answer may stand on, at most. Example: 5
    top_k: int = number(default=5, ge=1, le=50)
    #: Leave out passages with a `relevance` below this; absent for the corpus' own. Example: 0.25
    min_score: float | None = number(default=None, ge=0, le=1)
    #: Whether to speak the answer, too.
    audio: bool = attrs.field(default=False, kw_only=True)
    #: Who answers, and how, in place of what the corpus says; what is absent stays. Needs the feature
    #: `generation.override`.
    generation: GenerationOptions | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if (self.corpus_id is None) == (self.corpus_ids is None):
            raise FieldError("one_of", "needs exactly one of corpus_id and corpus_ids")

    @property
    def corpora(self) -> Sequence[str]:
        """The ids of the corpora to ask, one at least."""
        return [self.corpus_id] if self.corpus_id is not None else self.corpus_ids or []


@attrs.frozen(kw_only=True)
class Citation:
    """Where a part of an answer comes from.

    ``n`` is its mark in the answer, dense from 1. ``quote`` stands verbatim at the character offsets
    ``start`` to ``end`` of ``version`` of the document. ``score`` is 0.0 to 1.0; over several
    corpora it tells the order only.
    """

    #: Its mark in the answer, from 1 without gaps. Example: 1
    n: int
    #: The corpus. Example: "c1"
    corpus_id: str
    #: The document. Example: "leave"
    document_id: str
    #: The document's version that was read. Example: 1
    version: int
    #: The passage. Example: "leave:0"
    chunk_id: str
    #: Where the quote begins in that version, in characters. Example: 0
    start: int
    #: Where it ends. Example: 49
    end: int
    #: The words that the answer stands on. Example: "Every employee has 30 days of paid leave a year."
    quote: str
    #: What the document is called. Example: "leave.md"
    source: str
    #: How well the passage fits, 0.0 to 1.0. Example: 0.82
    score: float
    #: The document's metadata. Example: {"team": "hr"}
    metadata: Mapping[str, object]

    def as_json(self) -> dict[str, object]:
        """The citation as it stands in frames and in the database."""
        return {
            "n": self.n,
            "corpus_id": self.corpus_id,
            "document_id": self.document_id,
            "version": self.version,
            "chunk_id": self.chunk_id,
            "start": self.start,
            "end": self.end,
            "quote": self.quote,
            "source": self.source,
            "score": self.score,
            "metadata": dict(self.metadata),
        }


@attrs.frozen(kw_only=True)
class TokenUsage:
    """Tokens of one run; ``estimated`` when the provider did not say."""

    #: Tokens that the model read. Example: 412
    input_tokens: int
    #: Tokens that it wrote. Example: 18
    output_tokens: int
    #: Whether they were estimated. Example: false
    estimated: bool

    def as_json(self) -> dict[str, object]:
        """The usage as it is kept with the message."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "estimated": self.estimated,
        }


@attrs.frozen(kw_only=True)
class SessionTotals:
    """Answered runs of a session and their tokens, this run included."""

    #: Answered runs. Example: 3
    runs: int
    #: Tokens read. Example: 1204
    input_tokens: int
    #: Tokens written. Example: 61
    output_tokens: int


@attrs.frozen(kw_only=True)
class Speech:
    """The answer as sound, or why there is none: ``audio_url`` or ``code`` is set."""

    #: Where to fetch the sound. Example: "http://127.0.0.1:8000/v1/audio/9f2c.mp3"
    audio_url: str | None = None
    #: Its id. Example: "9f2c"
    audio_id: str | None = None
    #: Its media type. Example: "audio/mpeg"
    mime: str | None = None
    #: Why there is none, for programs.
    code: str | None = None
    #: Why there is none, for people.
    message: str | None = None


@attrs.frozen(kw_only=True)
class RunFailedCorpus:
    """A corpus that could not answer beside others that did; ``code`` is its provider's."""

    #: The corpus. Example: "c2"
    corpus_id: str
    #: Why, as a program reads it. Example: "AWS_AUTH_ERROR"
    code: str

    def as_json(self) -> dict[str, object]:
        """The failure as it stands in frames."""
        return {"corpus_id": self.corpus_id, "code": self.code}


@attrs.frozen(kw_only=True)
class RunNotReranked:
    """A corpus whose passages its reranker did not all score; ``code`` says why."""

    #: The corpus. Example: "c1"
    corpus_id: str
    #: Why, as a program reads it: `RERANKER_TIMEOUT` when its budget of time was spent. Example: "RERANKER_TIMEOUT"
    code: str

    def as_json(self) -> dict[str, object]:
        """As it stands in frames."""
        return {"corpus_id": self.corpus_id, "code": self.code}


@attrs.frozen(kw_only=True)
class RunAnswer:
    """A run's outcome for callers that do not stream."""

    #: The conversation. Example: "s1"
    session_id: str
    #: Which run of it this was, from 1. Example: 1
    turn: int
    #: The answer, with a mark for each citation. Example: "Every employee has 30 days of paid leave a
    #: year. [1]"
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
    #: Tokens of this run.
    usage: TokenUsage
    #: Tokens of the whole conversation.
    session: SessionTotals
    #: The answer as sound; null unless it was asked for.
    audio: Speech | None = None


@attrs.frozen(kw_only=True)
class SessionView:
    """One of the caller's sessions. ``turns`` counts its runs, failed ones included; the latest asked
    ``corpus_ids``, and ``corpus_id`` is the first of them.
    """

    #: What its first run called it. Example: "s1"
    id: str
    #: The first of the corpora that the latest run asked. Example: "c1"
    corpus_id: str
    #: All of them. Example: ["c1"]
    corpus_ids: list[str]
    #: Runs, failed ones included. Example: 3
    turns: int
    #: Whether a run is under way. Example: false
    busy: bool
    #: When it began.
    created_at: datetime
    #: When it last changed.
    updated_at: datetime


@attrs.frozen(kw_only=True)
class MessageView:
    """One message. ``text`` is empty and ``redacted`` true when it may carry text of a document that the
    caller can no longer read; ``status`` is ``partial`` when the run was cut short.
    """

    #: The run that it belongs to, from 1. Example: 1
    turn: int
    #: `user` or `assistant`. Example: "assistant"
    role: str
    #: What was said. Example: "Every employee has 30 days of paid leave a year. [1]"
    text: str
    #: `complete`, or `partial` when the run was cut short. Example: "complete"
    status: str
    #: Why the answer ended: `stop`, `length`, `content_filter` or `incomplete`; null of a question, of an answer that
    #: was cut short, and of one from before this was kept. Example: "stop"
    finish_reason: str | None
    #: Whether the text is held back, since its sources may no longer be read. Example: false
    redacted: bool
    #: As in the answer. Example: []
    citations: list[dict[str, object]]
    #: When it was said.
    created_at: datetime
