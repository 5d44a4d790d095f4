"""Passages as a list of sentences that could stand in an answer."""

import re
from collections.abc import Iterator

import attrs
from ragwork_toolkit.sentences import Sentences

from ragwork_extractive import display
from ragwork_extractive.markdown import Block, Kind, blocks

#: A sentence longer than this becomes several; nobody wants it as an answer, and it bounds the work.
MAX_CHARS = 500
#: A table row longer than this is cut.
MAX_ROW_CHARS = 2_000
#: How much of the list, code or table below a "… as follows:" line is taken along, in characters.
_FOLLOW_CHARS = 400
_FOLLOW_BLOCKS = 6
_BLANKS = re.compile(r"\s*")

_ENDS = '.!?:)"\u2026\u3002\uff01\uff1f'


@attrs.frozen
class Sentence:
    """A candidate. ``quote`` is verbatim from passage ``passage`` (from 0), ``shown`` its plain form, ``own``
    that without the names of a table's columns.

    ``order`` counts within the passage; ``above`` is the text of the headings, and a table's header,
    that it stands under; ``whole`` is False when the passage's border may have cut it.
    """

    passage: int
    order: int
    kind: Kind
    quote: str
    shown: str
    own: str
    above: str
    whole: bool


def sentences(passage: int, text: str) -> list[Sentence]:
    """The sentences of one passage, in order."""
    found: list[Sentence] = []
    headings: dict[int, str] = {}
    names: list[str] = []
    parts, stop = list(_parts(text)), len(text.rstrip())
    for index, part in enumerate(parts):
        if part.kind == "heading":
            headings = {level: title for level, title in headings.items() if level < part.level}
            headings[part.level] = _shown(text, part)
        elif part.kind == "header":
            names = display.cells(text[part.start : part.end])
        elif part.kind == "row":
            found += _row(passage, len(found), text, part, names if part.headed else [], headings)
        else:
            end, shown = _with_followers(text, parts, index)
            if len(shown) > 2:
                whole = part.kind != "text" or _is_whole(text, part.start, end, stop)
                above, quote = " ".join(headings.values()), text[part.start : end]
                found.append(Sentence(passage, len(found), part.kind, quote, shown, shown, above, whole))
    return found


def _row(
    passage: int, order: int, text: str, part: Block, names: list[str], headings: dict[int, str]
) -> Iterator[Sentence]:
    values = display.cells(text[part.start : part.end])
    shown, own = display.row(names, values), " ".join(filter(None, values))
    if own:
        above = " ".join([*headings.values(), *names])
        yield Sentence(passage, order, "row", text[part.start : part.end], shown, own, above, True)


def _is_whole(text: str, start: int, end: int, stop: int) -> bool:
    """Whether ``text[start:end]`` neither begins in the middle, nor ends there, at the passage's border ``stop``."""
    begins = start > 0 or not text[start].islower()
    return begins and (end < stop or text[end - 1] in _ENDS)


def _parts(text: str) -> Iterator[Block]:
    splitter = Sentences(text)
    for block in blocks(text):
        if block.kind in ("text", "item"):
            for start, end in splitter.spans(block.start, block.end):
                if end - start <= MAX_CHARS:
                    yield Block(block.kind, start, end)
                else:
                    yield from (Block(block.kind, *piece) for piece in _pieces(text, start, end))
        elif block.end > block.start:
            limit = MAX_ROW_CHARS if block.kind in ("row", "header") else MAX_CHARS
            fits = block.end - block.start <= limit
            yield block if fits else attrs.evolve(block, end=block.start + limit)


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A long sentence cut after lines, clauses or words: none of it is lost."""
    while end - start > MAX_CHARS:
        limit = start + MAX_CHARS
        cuts = (text.rfind(sign, start + MAX_CHARS // 2, limit) for sign in ("\n", "; ", " "))
        cut = next((cut + 1 for cut in cuts if cut >= 0), limit)
        yield start, start + len(text[start:cut].rstrip())
        blanks = _BLANKS.match(text, cut, end)
        start = blanks.end() if blanks else cut
    if start < end:
        yield start, end


def _with_followers(text: str, parts: list[Block], index: int) -> tuple[int, str]:
    """End and plain form of a part; a line that ends in a colon takes what it announces along."""
    part = parts[index]
    end, shown = part.end, _shown(text, part)
    if part.kind not in ("text", "item") or not shown.endswith(":"):
        return end, shown
    pieces = []
    for follower in parts[index + 1 : index + 1 + _FOLLOW_BLOCKS]:
        if follower.kind not in ("item", "code", "row") or follower.end - part.end > _FOLLOW_CHARS:
            break
        pieces.append(_shown(text, follower))
        end = follower.end
    return end, f"{shown} {'; '.join(piece.rstrip('.;,') for piece in pieces)}" if pieces else shown


def _shown(text: str, part: Block) -> str:
    piece = text[part.start : part.end]
    if part.kind == "code":
        return display.code(piece)
    return display.row([], display.cells(piece)) if part.kind == "row" else display.plain(piece)
