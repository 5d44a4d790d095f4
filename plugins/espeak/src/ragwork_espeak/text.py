"""Text as the engine may have it: bounded, without signs it would obey, in pieces that end with a sentence."""

import re
from collections.abc import Iterator
from typing import Final

#: About nine minutes at the default rate.
MAX_CHARS: Final = 10_000
#: About a minute: how long other speakers wait for their turn at most is a small part of that.
_PIECE_CHARS: Final = 1_000
# NUL ends the text for C, and \x01 begins a command to the engine; line ends are pauses and stay.
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_SENTENCE_END: Final = re.compile(r"[.!?…][\"')\]»”’]*\s|[。！？]|\n")  # noqa: RUF001


def speakable(text: str) -> str:
    """``text`` without control characters and lone surrogates, cut to ``MAX_CHARS``; may be empty."""
    clean = _CONTROL.sub(" ", text.encode(errors="replace").decode()).strip()
    return clean[: _cut(clean, MAX_CHARS)].rstrip()


def pieces(text: str) -> Iterator[str]:
    """``text`` in order, in pieces that end with a sentence where one ends, else with a word."""
    while text:
        cut = _cut(text, _PIECE_CHARS)
        yield text[:cut].rstrip()
        text = text[cut:].lstrip()


def _cut(text: str, size: int) -> int:
    """Where to cut so that at most ``size`` characters come first."""
    if len(text) <= size:
        return len(text)
    ends = [match.end() for match in _SENTENCE_END.finditer(text, 0, size)]
    return ends[-1] if ends else text.rfind(" ", 0, size) + 1 or size
