"""Where sentences end, in many languages: one notion for whoever cuts, quotes or answers with them.

In doubt a sentence goes on: one that ends before its fact misleads, a longer one does not.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from importlib import resources
from itertools import chain
from types import MappingProxyType
from typing import Final

# The look-behind keeps a long run of signs linear.
_SIGN: Final = re.compile(
    r"(?<![.!?\u2026\u061f\u06d4])(?P<closed>(?P<sign>[.!?\u2026\u061f\u06d4]++)[\"'\u2019\u201d\u00bb)\]*_`]*+(?=\s|\Z)"
    r"|[\u3002\uff01\uff1f\uff61\u0964\u0965\u1362\u17d4\u104b]++[\u300d\u300f\u201d]*+)\s*+"
)
#: Signs that white space must follow.
_SPACED: Final = ".!?\u2026\u061f\u06d4"
_WORD: Final = re.compile(r"\w+")
#: What may stand before or around the word before a full stop.
_OPENING: Final = "\"'([{\u201e\u201c\u2018\u00ab\u00a1\u00bf*_`"
_LONGEST: Final = 24
_DOTTED: Final = re.compile(r"[^\W\d_]{1,2}(?:\.[^\W\d_]{1,2})+")
_ORDINAL: Final = re.compile(r"\d{1,3}|\d{1,2}\.\d{1,2}|[IVXL]{2,6}")
_NO_VOWEL: Final = re.compile(r"[b-df-hj-np-tv-xz]{2,4}")
_NUMBER: Final = re.compile(r"[A-Za-z]?-?\d|[#\u2116]|[IVXLC]+\b")
#: A short word with a vowel. Abbreviations of months are such words, too.
_PLAIN: Final = re.compile(
    r"(?!jan|apr|may|jun|aug|oct|okt|nov|dec|dez|mai)[A-Za-z]*[aeiouyAEIOUY][A-Za-z]*", re.IGNORECASE
)
#: Letters of languages that write ordinal numbers with a full stop.
_HINT: Final = re.compile("[ß\u0131ğşřůěőűłøæčšžõ]")
_SAMPLE: Final = 2_000


def _read() -> dict[str, dict[str, frozenset[str]]]:
    """Section → language → words."""
    text = resources.files("ragwork_toolkit").joinpath("abbreviations.txt").read_text("utf-8")
    sections = {part[: part.index("]")]: part.splitlines()[1:] for part in text.split("\n[")[1:]}
    return {
        name: {line.partition(":")[0]: frozenset(line.partition(":")[2].split()) for line in lines if line}
        for name, lines in sections.items()
    }


_BY_LANGUAGE: Final = MappingProxyType(_read())
_MONTHS, _STARTERS = (frozenset(chain(*_BY_LANGUAGE[name].values())) for name in ("months", "starters"))
#: Abbreviation → its section; where languages differ ``always`` goes before ``either``, and that before ``number``.
_KIND: Final = MappingProxyType(
    {word: kind for kind in ("number", "either", "always") for word in chain(*_BY_LANGUAGE[kind].values())}
)
#: Common word → (section, language) of those that it tells of.
_LANGUAGES: Final = MappingProxyType(
    {
        word: [
            (k, name)
            for k in ("ordinals", "plain")
            for name, words in _BY_LANGUAGE[k].items()
            if word in words
        ]
        for kind in ("ordinals", "plain")
        for word in chain(*_BY_LANGUAGE[kind].values())
    }
)


class Sentences:
    """The sentences of one text. Positions are character offsets into it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def breaks(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """Where in ``text[start:end]`` a sentence ends and where the one after it begins."""
        end = len(self._text) if end is None else end
        begun = start
        for match in _SIGN.finditer(self._text, start, end):
            if match.end() < len(self._text) and (self._cut_short(match, end) or self._goes_on(match, begun)):
                continue
            begun = match.end()
            yield match.end("closed"), begun

    def spans(self, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """Start and end of each sentence, without the white space around it."""
        end = len(self._text) if end is None else end
        begun = start
        for stop, resume in chain(self.breaks(start, end), ((end, end),)):
            piece = self._text[begun:stop].strip()
            if piece:
                begun = self._text.index(piece[0], begun)
                yield begun, begun + len(piece)
            begun = resume

    def _cut_short(self, match: re.Match[str], end: int) -> bool:
        """Whether the range's end, not white space, follows the sign."""
        text = self._text
        return (
            match.end() == end
            and match.group()[0] in _SPACED
            and not (text[end - 1].isspace() or text[end].isspace())
        )

    def _goes_on(self, match: re.Match[str], begun: int) -> bool:
        if self._text[match.end()].islower():
            return match.group()[0] in _SPACED
        if match["sign"] != ".":
            return False
        word = self._word_before(match.start())
        kind = _KIND.get(word.lower())
        if kind is None and len(word) > 4 and word.isalpha() and not word.endswith("str"):
            return False  # nearly every sentence
        if kind == "always" or (len(word) == 1 and word.isalpha()) or self._is_label(match.start(), begun):
            return True
        if kind == "number" and _NUMBER.match(self._text, match.end()):
            return True
        return self._depends(word, kind, match.end())

    def _word_before(self, stop: int) -> str:
        words = (
            self._text[max(0, stop - _LONGEST) : stop].replace("\u2019", "'").rpartition("'")[2].split(" ")
        )
        return words[-1].lstrip(_OPENING)

    def _is_label(self, stop: int, begun: int) -> bool:
        """Whether nothing but a number was said yet, as before a list's item."""
        return stop - begun < _LONGEST and not any(c.isalpha() for c in self._text[begun:stop])

    def _depends(self, word: str, kind: str | None, resume: int) -> bool:
        """Whether the sentence goes on after ``word`` and a full stop, by what comes next."""
        if kind is None and _PLAIN.fullmatch(word) and not self._text[resume].isdigit():
            return False
        found = _WORD.match(self._text, resume)
        after = found.group().lower() if found else ""
        starts = after in _STARTERS
        if _ORDINAL.fullmatch(word):
            return after in _MONTHS or (self._has_ordinals and not starts)
        if len(word) < 5 and word.isalpha() and self._text[resume].isdigit():
            return True
        if kind == "either" or (word.lower() in _MONTHS and len(word) < 5):
            return not starts
        return not starts and (_DOTTED.fullmatch(word) is not None or self._looks_short(word))

    def _looks_short(self, word: str) -> bool:
        """No vowel, and no acronym; or a German street."""
        short = _NO_VOWEL.fullmatch(word[:1].lower() + word[1:]) is not None
        return short or (word.endswith("str") and len(word) > 4 and self._has_ordinals)

    @cached_property
    def _has_ordinals(self) -> bool:
        """Whether the text's language writes ordinal numbers with a full stop."""
        sample = self._text[:_SAMPLE].lower()
        words = (word for word in _WORD.findall(sample) if word in _LANGUAGES)
        said = Counter(chain.from_iterable(_LANGUAGES[word] for word in words))
        ordinals, plain = (
            max((count for (kind, _), count in said.items() if kind == wanted), default=0)
            for wanted in ("ordinals", "plain")
        )
        return ordinals + len(_HINT.findall(sample)) > plain
