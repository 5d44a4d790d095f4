"""What the answerer says itself, in the language of the question."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final

import attrs
from ragwork_toolkit.text.languages import detect
from ragwork_toolkit.text.normalization import words_only

#: Where there is no translation.
_DEFAULT: Final = "en"
#: A message with more words is no mere greeting; and one with fewer is too short to tell its language from.
_FEW_WORDS: Final = 4
#: Characters of the longest message that may be a mere greeting.
_SHORT: Final = 60


@attrs.frozen(kw_only=True)
class Phrases:
    """One language's."""

    nothing_found: str
    closest: str
    welcome: str
    thanked: str


def phrases_for(question: str) -> Phrases:
    """Those in the language of ``question``; in English when it is not among ours, or can't be told."""
    by_language, _, _ = _read()
    language = detect(question) if len(question.split()) >= _FEW_WORDS or not question.isascii() else _DEFAULT
    return by_language.get(language, by_language[_DEFAULT])


def small_talk(message: str) -> str | None:
    """The reply to a message that does nothing but greet or thank; ``None`` for every other."""
    if len(message) > _SHORT:
        return None
    said = words_only(message)
    by_language, greetings, thanks = _read()
    if said in greetings:
        return by_language[greetings[said]].welcome
    return by_language[thanks[said]].thanked if said in thanks else None


@cache
def _read() -> tuple[Mapping[str, Phrases], Mapping[str, str], Mapping[str, str]]:
    """Phrases by language, and the language of each greeting and of each thanks."""
    text = resources.files("ragwork_extractive").joinpath("phrases.txt").read_text("utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line and not line.startswith("#")]
    by_language, greetings, thanks = {}, {}, {}
    for language, nothing, closest, welcome, thanked, greeting, thanking in rows:
        by_language[language] = Phrases(
            nothing_found=nothing, closest=closest, welcome=welcome, thanked=thanked
        )
        greetings.update({words_only(word): language for word in greeting.split(", ")})
        thanks.update({words_only(word): language for word in thanking.split(", ")})
    return MappingProxyType(by_language), MappingProxyType(greetings), MappingProxyType(thanks)
