"""Texts in the form in which they are compared."""

import unicodedata


def fold(text: str) -> str:
    """A text in the form in which it is compared."""
    lower = unicodedata.normalize("NFC", text).lower()
    return unicodedata.normalize("NFC", lower)
