"""One way to write what people write in several: compatibility forms, case, and marks that may be left out."""

import unicodedata
from typing import Final

import regex

from ragwork_toolkit.text.analysers import ACCENTED

#: Joiners, direction marks, soft hyphens and the like, and Arabic's tatweel: they show nothing that tells words apart.
_IGNORABLE: Final = regex.compile(r"[\p{Default_Ignorable_Code_Point}\u0640]+")
#: Vowel signs that Arabic and Hebrew are mostly written without. Those of Indic scripts are letters and stay.
_OPTIONAL_VOWELS: Final = regex.compile(
    r"[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]+"
)
_NEITHER_LETTER_NOR_DIGIT: Final = regex.compile(r"[^\p{L}\p{M}\p{N}]+")
_ACCENTS: Final = regex.compile(r"[\u0300-\u036f]+")
#: Characters that a cheap test finds in nearly every text that needs none of this.
_PLAIN: Final = regex.compile(r"[\x00-\x7f]*")


def normalize(text: str) -> str:
    """``text`` in compatibility form (NFKC), without ignorables and optional vowels. Case stays."""
    if _PLAIN.fullmatch(text):
        return text
    plain: str = _OPTIONAL_VOWELS.sub("", _IGNORABLE.sub("", unicodedata.normalize("NFKC", text)))
    return plain


def fold_case(word: str) -> str:
    """Upper and lower case alike: ß is ss, and the Turkish İ an i."""
    return word.casefold().replace("i\u0307", "i")


def words_only(text: str) -> str:
    """Normalized and folded: letters, marks and digits, and one space where anything else stood."""
    between: str = _NEITHER_LETTER_NOR_DIGIT.sub(" ", fold_case(normalize(text)))
    return between.strip()


def fold_accents(word: str, language: str) -> str:
    """``word`` without accents, except in languages whose words differ by them."""
    if word.isascii() or language in ACCENTED:
        return word
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", word)))
