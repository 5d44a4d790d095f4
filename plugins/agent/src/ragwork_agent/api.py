"""Bodies and answers of the agent's routes."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import attrs
from ragwork_hooks.fields import SCHEMA, FieldError, identifier, number, text

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

    session_id: str = identifier()
    corpus_id: str | None = identifier(default=None)
    corpus_ids: list[str] | None = attrs.field(
        default=None,
        validator=_check_corpora,
        metadata={SCHEMA: {"minItems": 1, "maxItems": CORPUS_LIMIT, "uniqueItems": True}},
    )
    message: str = text(min_length=1, max_length=MESSAGE_LIMIT, visible=True)
    top_k: int = number(default=5, ge=1, le=50)
    audio: bool = attrs.field(default=False, kw_only=True)

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

    n: int
    corpus_id: str
    document_id: str
    version: int
    chunk_id: str
    start: int
    end: int
    quote: str
    source: str
    score: float
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

    input_tokens: int
    output_tokens: int
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

    runs: int
    input_tokens: int
    output_tokens: int


@attrs.frozen(kw_only=True)
class Speech:
    """The answer as sound, or why there is none: ``audio_url`` or ``code`` is set."""

    audio_url: str | None = None
    audio_id: str | None = None
    mime: str | None = None
    code: str | None = None
    message: str | None = None


@attrs.frozen(kw_only=True)
class RunFailedCorpus:
    """A corpus that could not answer beside others that did; ``code`` is its provider's."""

    corpus_id: str
    code: str

    def as_json(self) -> dict[str, object]:
        """The failure as it stands in frames."""
        return {"corpus_id": self.corpus_id, "code": self.code}


@attrs.frozen(kw_only=True)
class RunAnswer:
    """A run's outcome for callers that do not stream."""

    session_id: str
    turn: int
    text: str
    citations: list[Citation]
    failed: list[RunFailedCorpus]
    usage: TokenUsage
    session: SessionTotals
    audio: Speech | None = None


@attrs.frozen(kw_only=True)
class Paging:
    """A window of a list."""

    limit: int = number(default=50, ge=1, le=200)
    offset: int = number(default=0, ge=0, le=1_000_000)


@attrs.frozen(kw_only=True)
class SessionView:
    """One of the caller's sessions. ``turns`` counts its runs, failed ones included; the latest asked
    ``corpus_ids``, and ``corpus_id`` is the first of them.
    """

    id: str
    corpus_id: str
    corpus_ids: list[str]
    turns: int
    busy: bool
    created_at: datetime
    updated_at: datetime


@attrs.frozen(kw_only=True)
class MessageView:
    """One message. ``text`` is empty and ``redacted`` true when it may carry text of a document that the
    caller can no longer read; ``status`` is ``partial`` when the run was cut short.
    """

    turn: int
    role: str
    text: str
    status: str
    redacted: bool
    citations: list[dict[str, object]]
    created_at: datetime
