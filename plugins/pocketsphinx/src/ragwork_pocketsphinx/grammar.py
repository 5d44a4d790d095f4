"""Phrases to a grammar in JSGF (the Java Speech Grammar Format, version 1.0) that accepts nothing else."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs
from ragwork_hooks.errors import ProviderError

#: More would take seconds to build, in a thread that all tenants share.
MAX_WORDS: Final = 2_000
_TOKEN: Final = re.compile(r"[\w'’]+")  # noqa: RUF001
# No sign of the grammar format is among these: what passes needs no escape.
_WORD: Final = re.compile(r"[a-z]{1,40}(?:'[a-z]{1,40}){0,2}")


@attrs.frozen(kw_only=True)
class Grammar:
    """``jsgf`` for the decoder, and the phrases as they were given, by the words that it will hear."""

    jsgf: str
    spelling: Mapping[str, str]


def grammar(phrases: Sequence[str], known: Callable[[str], bool]) -> Grammar | None:
    """A choice between ``phrases``. One with a word that the dictionary does not know is left out, for it
    can't be heard; ``None`` when no phrase remains.

    Raises ``ProviderError`` ASR_ERROR for more than ``MAX_WORDS`` words.
    """
    spelling: dict[str, str] = {}
    total = 0
    for phrase in phrases:
        words = [token.replace("’", "'").strip("'") for token in _TOKEN.findall(phrase.lower())]  # noqa: RUF001
        if not words or not all(_WORD.fullmatch(word) and known(word) for word in words):
            continue
        if spelling.setdefault(" ".join(words), phrase) is phrase:
            total += len(words)
        if total > MAX_WORDS:
            raise ProviderError("ASR_ERROR", f"the phrases have more than {MAX_WORDS} words")
    if not spelling:
        return None
    choice = " | ".join(spelling)
    return Grammar(jsgf=f"#JSGF V1.0; grammar phrases; public <phrase> = {choice} ;", spelling=spelling)
