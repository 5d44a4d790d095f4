"""What kind of thing a question asks for, told from its words in the languages of ``question_words.txt``."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final

import attrs
from ragwork_toolkit.text.languages import detect
from ragwork_toolkit.text.normalization import words_only

#: Languages whose words stand without spaces between them.
_UNSPACED: Final = frozenset({"ja", "th", "zh"})


@attrs.frozen(kw_only=True)
class Asked:
    """What an answer should have."""

    number: bool = False
    name: bool = False


def asked_kind(question: str) -> Asked:
    """Whether it asks for a number or a date, and whether for a person or a place."""
    language = detect(question)
    words = _read().get(language) or _read()["en"]
    edge = "" if language in _UNSPACED else " "
    text = f" {words_only(question)} "
    number, name = (any(f"{edge}{word}{edge}" in text for word in kind) for kind in words)
    return Asked(number=number, name=name and not number)


def without_asking(question: str) -> str:
    """The question without its words of asking, in languages where their characters would pair with what is asked."""
    language = detect(question)
    if language not in _UNSPACED:
        return question
    words = sorted((word for kind in _read().get(language, ()) for word in kind), key=len, reverse=True)
    for word in words:
        question = question.replace(word, " ")
    return question


@cache
def _read() -> Mapping[str, tuple[tuple[str, ...], ...]]:
    text = resources.files("ragwork_extractive").joinpath("question_words.txt").read_text("utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line and not line.startswith("#")]
    return MappingProxyType(
        {
            language: tuple(tuple(words_only(word) for word in kind.split(", ")) for kind in kinds)
            for language, *kinds in rows
        }
    )
