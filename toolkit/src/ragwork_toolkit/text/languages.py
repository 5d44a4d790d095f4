"""Which language a text is in."""

from typing import Final

#: Characters that are looked at: more makes a paragraph no surer.
_SAMPLE: Final = 4_000
#: Other names of what a stemmer or an embedder knows under one.
_SAME: Final = {"nb": "no", "nn": "no", "pcm": "en", "bs": "hr"}


def detect(text: str) -> str:
    """The language's code (ISO 639-1 mostly), ``""`` for a text without a letter.

    A sentence is enough; a word or two is a guess. Imports numpy and a model when first called: 0.3 s.
    """
    from py3langid import classify  # type: ignore[import-untyped]  # it ships no types

    sample = text[:_SAMPLE]
    if not any(map(str.isalpha, sample)):
        return ""
    language: str = classify(sample)[0]
    return _SAME.get(language, language)
