"""What a reader sees of a quote: plain text, without markup and without what only looks like text."""

import re

# Links and images keep their label only: retrieved text must not make a client fetch anything.
_LINK = re.compile(r"!?\[([^\[\]\n]{0,300})\]\([^()\s]{0,500}(?: \"[^\"\n]{0,200}\")?\)")
_AUTOLINK = re.compile(r"<((?:https?|mailto):[^<>\s]{1,500})>")
_TAG = re.compile(
    r"</?(?:a|b|br|button|code|div|em|embed|form|h[1-6]|hr|i|iframe|img|input|kbd|li|link|meta|object|ol|p|pre"
    r"|script|span|strong|style|sub|sup|svg|table|tbody|td|th|thead|tr|u|ul|video|audio)(?:[\s/][^<>]{0,500})?>",
    re.IGNORECASE,
)
_EMPHASIS = re.compile(r"\*{1,3}(?=\S)|(?<=\S)\*{1,3}|~~|(?<!\w)_{1,2}(?=\S)|(?<=\S)_{1,2}(?!\w)")
_CODE = re.compile(r"`{1,3}([^`]{1,300})`{1,3}")
_QUOTE_SIGN = re.compile(r"\n[ \t]*(?:>[ \t]?)+")
# A mark in the source would be taken for one of ours.
_MARK = re.compile(r"\[(\d{1,3})\]")
# Controls, zero-width and bidirectional signs, and lone surrogates (which no encoder accepts).
_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
# Most sentences have no markup; one look spares them seven substitutions.
_MARKUP = re.compile(r"[\[<`*~_\n]")


def plain(markdown: str) -> str:
    """One line of plain text for a piece of prose or a list item."""
    if not _MARKUP.search(markdown):
        return literal(markdown)
    pieces = _CODE.split(_LINK.sub(r"\1", _QUOTE_SIGN.sub(" ", markdown)))
    pieces[::2] = [_EMPHASIS.sub("", _TAG.sub(" ", _AUTOLINK.sub(r"\1", prose))) for prose in pieces[::2]]
    return literal("".join(pieces))


def row(markdown: str) -> str:
    """A table row as ``first: second; third``, without a running number and lone signs."""
    cells = [plain(part) for part in markdown.strip().strip("|").split("|")]
    cells = [
        cell for number, cell in enumerate(cells) if len(cell) > 1 and not (number == 0 and cell.isdigit())
    ]
    return cells[0] + (": " + "; ".join(cells[1:]) if len(cells) > 1 else "") if cells else ""


def literal(text: str) -> str:
    """One line of text whose signs mean something, such as code: only hidden signs and marks go."""
    if not text.isprintable():
        text = _HIDDEN.sub("", text)
    text = " ".join(text.split())
    return _MARK.sub(r"(\1)", text) if "[" in text else text
