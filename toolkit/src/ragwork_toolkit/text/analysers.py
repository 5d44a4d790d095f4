"""Which languages have an analyser of their own. Imports nothing: for those who only name them."""

from types import MappingProxyType
from typing import Final

#: Raise it when the same text gives other terms: indexes then make theirs anew.
VERSION: Final = 1
#: Language (ISO 639-1) → Snowball's name of it.
ALGORITHMS: Final = MappingProxyType(
    {
        "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek",
        "en": "english", "eo": "esperanto", "es": "spanish", "et": "estonian", "eu": "basque",
        "fa": "persian", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian",
        "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian", "ne": "nepali",
        "nl": "dutch", "no": "norwegian", "pl": "polish", "pt": "portuguese", "ro": "romanian",
        "ru": "russian", "sr": "serbian", "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
    }
)  # fmt: skip
#: Languages whose words differ by accents, and everybody writes them.
ACCENTED: Final = frozenset({"vi"})
#: ``""`` is the analyser of all other languages.
ANALYSERS: Final = ("", *sorted({*ALGORITHMS, *ACCENTED}))


def analyser_of(language: str) -> str:
    """Which of ``ANALYSERS`` reads ``language``."""
    return language if language in ANALYSERS else ""
