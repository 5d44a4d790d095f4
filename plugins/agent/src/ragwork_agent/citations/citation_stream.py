"""A model's answer as it streams: marks made dense, quotes checked, markup that fetches defused."""

import re
from collections.abc import Callable, Sequence

import attrs
from ragwork_hooks.documents import CorpusPassage
from ragwork_hooks.llm import Delta, ModelCitation
from ragwork_hooks.retrieval import Passage

from ragwork_agent.citations.quotes import Span, best_sentence, locate
from ragwork_agent.run.sanitizing import CODE, CODE_SPAN, as_data, clean
from ragwork_agent.schemas import Citation

_CONTEXT = 300
_MARK = r"\[ *[0-9]{1,3}(?: *, *[0-9]{1,3})* *\]"
# "(?<!!)" starts a run of exclamation marks only at its first one: linear on hostile text.
_PIECE = re.compile(rf"(?P<code>{CODE_SPAN})|(?<!!)(?P<cry>!+)(?={_MARK})|(?<!!)!+(?=\[)|(?P<mark>{_MARK})")
# The end of a piece that the next one may turn into a mark or an image.
_OPEN = re.compile(r"(?:(?<!!)!+(?:\[[0-9, ]{0,24})?|\[[0-9, ]{0,24})$")
_TICKS = re.compile(r"`+")
#: Characters that wait for the tick that would close a code span.
_CODE_LIMIT = 500


def for_model(passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """The passages as a model may see them: their offsets stay true, their marks and delimiters are gone."""
    return tuple(attrs.evolve(p, text=as_data(p.text), source=as_data(p.source)) for p in passages)


class CitationStream:
    """Turns model deltas into answer text.

    Marks ``[n]`` become dense numbers in order of first use. A mark leaves the text when its passage
    does not exist or its quote does not occur in the passage; ``dropped`` is told why. What stands in a code
    span is code: nothing in it is a mark. ``shown`` are
    the ``passages`` as the model saw them (``for_model``). The ``!`` of a
    Markdown image is left out, so that no client fetches what a passage talked the model into.
    """

    def __init__(
        self, found: Sequence[CorpusPassage], shown: Sequence[Passage], dropped: Callable[[str], None]
    ) -> None:
        self._found = found
        self._texts = tuple(p.text for p in shown)
        self._dropped = dropped
        self._held = ""
        self._text = ""
        self._numbers: dict[int, int] = {}
        self._spans: dict[int, Span] = {}
        self._guessed: set[int] = set()
        self._refused: set[int] = set()
        self._after_mark = False

    @property
    def text(self) -> str:
        """All that was given out so far."""
        return self._text

    @property
    def citations(self) -> tuple[Citation, ...]:
        """One for each number in use, in order."""
        return tuple(self._citation(passage, n) for passage, n in self._numbers.items())

    def feed(self, delta: Delta) -> str:
        """What ``delta`` adds to the answer; the start of a possible mark waits for the next one."""
        for cite in delta.cites:
            self._offer(cite)
        text = clean(delta.text)
        if not (self._held or self._after_mark or "[" in text or "!" in text or "`" in text):
            self._text += text  # nothing in it can be or become a mark
            return text
        text = self._held + text
        cut = _open_end(text)
        self._held = text[cut:]
        return self._emit(text[:cut])

    def finish(self) -> str:
        """What is left: an unfinished mark as plain text, and marks for quotes that got none."""
        rest, self._held = self._held, ""
        given = self._emit(rest)
        for passage in [p for p in self._spans if p not in self._numbers]:
            mark = f" {self._number(passage)}"
            self._text += mark
            given += mark
        return given

    def _emit(self, text: str) -> str:
        pieces: list[str] = []
        done = 0
        for found in _PIECE.finditer(text):
            pieces.append(self._plain(text[done : found.start()]))
            if found["code"]:
                pieces.append(self._plain(found["code"]))
            elif found["mark"]:
                said = (self._text + "".join(pieces))[-_CONTEXT:]
                pieces.extend(self._mark(int(n), said) for n in found["mark"][1:-1].split(","))
            elif found["cry"]:
                # The mark behind it may go, and what then follows may be a link.
                pieces.append(self._plain(found["cry"] + " "))
            done = found.end()
        pieces.append(self._plain(text[done:]))
        given = "".join(pieces)
        self._text += given
        return given

    def _plain(self, text: str) -> str:
        """``text``, kept apart from a mark before it that it would turn into a link or its definition."""
        if not text:
            return text
        apart = self._after_mark and text[0] in "(:["
        self._after_mark = False
        return " " + text if apart else text

    def _mark(self, passage: int, said: str) -> str:
        if not 1 <= passage <= len(self._texts):
            self._dropped("unknown_passage")
            return ""
        if passage not in self._spans:
            if passage in self._refused:
                return ""
            span = best_sentence(self._texts[passage - 1], said)
            if span is None:
                self._dropped("empty_passage")
                return ""
            self._spans[passage] = span
            self._guessed.add(passage)
        return self._number(passage)

    def _number(self, passage: int) -> str:
        n = self._numbers.setdefault(passage, len(self._numbers) + 1)
        self._after_mark = True
        return f"[{n}]"

    def _offer(self, cite: ModelCitation) -> None:
        """Take the model's own quote if it is true; the first true one of a passage stays."""
        if not 1 <= cite.passage <= len(self._texts):
            self._dropped("unknown_passage")
            return
        if not cite.quote:
            return
        span = locate(self._texts[cite.passage - 1], cite.quote)
        if span is None:
            self._dropped("quote_not_found")
            self._refused.add(cite.passage)
        elif cite.passage not in self._spans or cite.passage in self._guessed:
            self._spans[cite.passage] = span
            self._guessed.discard(cite.passage)

    def _citation(self, number: int, n: int) -> Citation:
        found = self._found[number - 1]
        passage = found.passage
        start, end = _own(passage, self._spans[number])
        offset = passage.start - passage.repeated
        return Citation(
            n=n,
            corpus_id=found.corpus_id,
            document_id=passage.document_id,
            version=passage.version,
            chunk_id=passage.chunk_id,
            start=offset + start,
            end=offset + end,
            quote=passage.text[start:end],
            source=passage.source,
            score=passage.score,
            metadata=passage.metadata,
        )


def _open_end(text: str) -> int:
    """Where the end of ``text`` begins that waits for what follows; its length when nothing does."""
    closed = 0
    for ticks in _TICKS.finditer(text):
        if ticks.start() < closed:
            continue
        span = CODE.match(text, ticks.start())
        closed = span.end() if span else ticks.end()
        may_close = len(text) - closed <= _CODE_LIMIT and "\n" not in text[closed:]
        if closed == len(text) or (span is None and may_close):
            return ticks.start()
    found = _OPEN.search(text, closed)
    return found.start() if found else len(text)


def _own(passage: Passage, span: Span) -> Span:
    """``span``, or the first line of the passage's own text when the quote is from what is repeated above it."""
    start, end = span
    if start >= passage.repeated:
        return span
    line_end = passage.text.find("\n", passage.repeated)
    return passage.repeated, max(end, line_end if line_end >= 0 else len(passage.text))
