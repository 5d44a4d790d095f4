"""What kind of thing a question asks for, told from its words in the languages of ``question_words.txt``."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final

import attrs
from ragwork_toolkit.text.normalization import words_only

#: Languages whose words stand without spaces between them.
_UNSPACED: Final = frozenset({"ja", "th", "zh"})
_NONE: Final[tuple[tuple[str, ...], ...]] = ((), (), ())


@attrs.frozen(kw_only=True)
class WantedKind:
    """What an answer should have."""

    number: bool = False
    name: bool = False


def asked_kind(question: str, language: str) -> WantedKind:
    """Whether it asks for a number or a date, and whether for a person or a place."""
    numbers, names, _ = _read().get(language) or _read()["en"]
    number, name = _has(question, language, numbers), _has(question, language, names)
    return WantedKind(number=number, name=name and not number)


def tells_number(text: str, language: str) -> bool:
    """Whether ``text`` has a number in words."""
    return _has(text, language, _read().get(language, _NONE)[2])


def _has(text: str, language: str, words: Sequence[str]) -> bool:
    edge = "" if language in _UNSPACED else " "
    said = f" {words_only(text)} "
    return any(f"{edge}{word}{edge}" in said for word in words)


def without_asking(question: str, language: str) -> str:
    """The question without its words of asking, in languages where their characters would pair with what is asked."""
    if language not in _UNSPACED:
        return question
    numbers, names, _ = _read().get(language, _NONE)
    for word in sorted((*numbers, *names), key=len, reverse=True):
        question = question.replace(word, " ")
    return question


@cache
def _read() -> Mapping[str, tuple[tuple[str, ...], ...]]:
    text = resources.files("ragwork_extractive").joinpath("question_words.txt").read_text("utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line and not line.startswith("#")]
    return MappingProxyType(
        {
            language: tuple(tuple(filter(None, map(words_only, words.split(", ")))) for words in columns)
            for language, *columns in rows
        }
    )
