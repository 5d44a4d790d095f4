"""Where words begin and end: runs of letters, marks and digits, identifiers whole and by their parts, and pairs of
characters for scripts that put no space between words.
"""

import itertools
from collections.abc import Iterator
from typing import Final, NamedTuple

import regex

_UNSPACED: Final = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_LETTER: Final = rf"[[\p{{L}}\p{{M}}\p{{N}}]--[{_UNSPACED}]]"
#: Thousands, however a language separates them: 35,000 and 35.000 and 35 000.
_GROUPED: Final = (
    r"\p{Nd}{1,3}(?:(?P<by>[.,'\u2019\u00a0\u202f])\p{Nd}{3})(?:(?P=by)\p{Nd}{3})*+(?![.,]?\p{Nd})"
)
# Signs hold together what has no space around them: paths, versions, addresses, compounds. C++ and C# end with theirs.
_RUN: Final = regex.compile(
    rf"(?P<grouped>{_GROUPED})(?!{_LETTER})"
    rf"|(?P<unspaced>[{_UNSPACED}][{_UNSPACED}\p{{M}}\u30fc]*+)"
    rf"|(?P<spaced>{_LETTER}++(?:[-_./:@\\+#&]{{1,3}}{_LETTER}++)*+(?:\+\+|\#)?)",
    regex.VERSION1,
)
_PIECE: Final = regex.compile(r"[\p{L}\p{M}\p{N}]++")
#: Words within a piece: ``fooBar``, ``HTTPServer``, ``worker17``.
_PART: Final = regex.compile(r"\p{Lu}?[\p{Ll}\p{M}]++|\p{Lu}+(?![\p{Ll}\p{M}])|\p{N}++|[\p{L}\p{M}]++")
_DIGITS: Final = regex.compile(r"\p{Nd}++")
_HAN: Final = regex.compile(r"\p{Han}")
#: Characters of the longest identifier that is found as a whole; beyond are encoded data.
LONGEST: Final = 200


class Word(NamedTuple):
    """A word as it is written."""

    text: str
    #: It is a whole that also stands by its parts, or a pair of characters: not a word of any language.
    literal: bool


def words(text: str) -> Iterator[Word]:
    """The words of normalized ``text`` in their order, an identifier before its parts."""
    for run in _RUN.finditer(text):
        kind, written = run.lastgroup, run.group()
        if kind == "spaced" and written.isalpha() and (written.islower() or written[1:].islower()):
            yield Word(written, literal=False)  # nearly every word
        elif kind == "spaced":
            yield from _identifier(written)
        elif kind == "unspaced":
            yield from _pairs(written)
        else:
            yield from _number(written)


def _pairs(run: str) -> Iterator[Word]:
    """Overlapping pairs, and each Han character, which is a word at times."""
    if len(run) == 1:
        yield Word(run, literal=True)
        return
    for first, second in itertools.pairwise(run):
        yield Word(first + second, literal=True)
    for character in _HAN.findall(run):
        yield Word(character, literal=True)


def _number(grouped: str) -> Iterator[Word]:
    """A number as if nothing separated its thousands, and its groups: 1.234 may be a decimal after all."""
    groups = _DIGITS.findall(grouped)
    yield Word("".join(groups), literal=True)
    for group in groups:
        yield Word(group, literal=True)


def _identifier(written: str) -> Iterator[Word]:
    pieces = _PIECE.findall(written)
    if len(written) <= LONGEST and pieces != [written]:
        yield Word(written, literal=True)
    for piece in pieces:
        yield Word(piece, literal=False)
        if len(parts := _PART.findall(piece)) > 1:
            for part in parts:
                yield Word(part, literal=False)
