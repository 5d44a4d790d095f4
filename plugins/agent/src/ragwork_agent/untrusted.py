"""Text that others wrote, made safe to stand in a prompt or in an answer."""

import re

# A citation mark; only ours may look like one.
_MARK = re.compile(r"\[(\s*\d{1,3}(?:\s*,\s*\d{1,3})*\s*)\]")
# What could open or close our delimiters, or the turns of a chat template.
_DELIMITER = re.compile(r"<(?=[\s/\\]*passages?\b|\|)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def as_data(text: str) -> str:
    """``text`` without anything that reads as a delimiter or a citation mark.

    Character for character, so offsets into the result are offsets into ``text``.
    """
    text = _MARK.sub(r"(\1)", text)
    text = _DELIMITER.sub("\u2039", text)
    return _SURROGATE.sub("\ufffd", _CONTROL.sub(" ", text))


def clean(text: str) -> str:
    """``text`` without control characters (tab and line ends stay) and lone surrogates."""
    if text.isprintable():  # nearly every token: no search needed
        return text
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", text))


def without_marks(text: str) -> str:
    """``text`` without citation marks: an earlier answer's numbers mean nothing in a later prompt."""
    return _MARK.sub("", text)
