"""Passages as a list of sentences that could stand in an answer."""

import re
from collections.abc import Iterator
from itertools import pairwise

import attrs

from ragwork_extractive import display
from ragwork_extractive.markdown import Block, Kind, blocks

#: A sentence longer than this is cut; nobody wants it as an answer, and it bounds the work.
MAX_CHARS = 500
#: How much of the list, code or table below a "… as follows:" line is taken along, in characters.
_FOLLOW_CHARS = 400
_FOLLOW_BLOCKS = 6

_ENDS = '.!?:)"\u2026\u3002\uff01\uff1f'
# The look-behind keeps a long run of full stops linear.
_BREAK = re.compile(
    r"(?<![.!?\u2026])(?:[.!?\u2026]++[\"'\u2019\u201d)\]*_`]*+(?=\s)|[\u3002\uff01\uff1f]++[\u300d\u300f\u201d]*+)\s*+"
)
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|cf|vs|approx|incl|no|nos|fig|figs|sec|ch|vol|pp?|al|resp|mr|mrs|ms|dr|prof|st|inc|ltd"
    r"|co|jr|sr|u\.s|u\.k|a\.m|p\.m|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)|(?:^|[\s(])[A-Za-z]|^\d{1,3})\.$",
    re.IGNORECASE,
)
# These end a sentence as often as not: they only count as abbreviations before a small letter or digit.
_FINAL_TOO = re.compile(r"(?:\b(?:etc|no|inc|ltd|co|u\.s|u\.k|a\.m|p\.m))\.$", re.IGNORECASE)


@attrs.frozen
class Sentence:
    """A candidate. ``quote`` is verbatim from passage ``passage`` (from 0), ``shown`` its plain form.

    ``order`` counts within the passage; ``above`` is the text of the headings, and a table's header,
    that it stands under; ``whole`` is False when the passage's border may have cut it.
    """

    passage: int
    order: int
    kind: Kind
    quote: str
    shown: str
    above: str
    whole: bool


def sentences(passage: int, text: str) -> list[Sentence]:
    """The sentences of one passage, in order."""
    found: list[Sentence] = []
    headings: dict[int, str] = {}
    header = ""
    parts = list(_parts(text))
    for index, part in enumerate(parts):
        if part.kind == "heading":
            headings = {level: title for level, title in headings.items() if level < part.level}
            headings[part.level] = _shown(text, part)
        elif part.kind == "header":
            header = _shown(text, part)
        else:
            end, shown = _with_followers(text, parts, index)
            if len(shown) > 2:
                quote = text[part.start : end]
                above = [*headings.values(), header] if part.kind == "row" else headings.values()
                whole = part.kind != "text" or _is_whole(text, part.start, end)
                found.append(Sentence(passage, len(found), part.kind, quote, shown, " ".join(above), whole))
    return found


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether ``text[start:end]`` neither begins in the middle, nor ends there, at the passage's border."""
    begins = start > 0 or not text[start].islower()
    return begins and (end < len(text.rstrip()) or text[end - 1] in _ENDS)


def _parts(text: str) -> Iterator[Block]:
    for block in blocks(text):
        if block.kind in ("text", "item"):
            for start, end in _split(text, block.start, block.end):
                yield Block(block.kind, start, end)
        elif block.end > block.start:
            yield attrs.evolve(block, end=min(block.end, block.start + MAX_CHARS))


def _split(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Offsets of the sentences of ``text[start:end]``, without the space between them."""
    cuts = [start]
    for match in _BREAK.finditer(text, start, end):
        if match.end() >= end or not _continues(text, cuts[-1], match):
            cuts.append(match.end())
    if cuts[-1] < end:
        cuts.append(end)
    for left, right in pairwise(cuts):
        piece = text[left:right].rstrip()
        if len(piece) > MAX_CHARS:
            piece = piece[: max(piece.rfind(" ", 0, MAX_CHARS), MAX_CHARS // 2)]
        if piece:
            yield left, left + len(piece)


def _continues(text: str, start: int, match: re.Match[str]) -> bool:
    """Whether the full stop of ``match`` belongs to an abbreviation or is followed by a small letter."""
    sign = match[0].strip()
    if sign != ".":
        return sign.startswith("\u2026") and text[match.end()].islower()
    following = text[match.end()]
    if following.islower():
        return True
    last_word = text[max(start, match.start() - 12) : match.start() + 1]
    if _FINAL_TOO.search(last_word):
        return following.isdigit()
    return _ABBREVIATION.search(last_word) is not None


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
        return display.literal(piece)
    return display.row(piece) if part.kind in ("row", "header") else display.plain(piece)
