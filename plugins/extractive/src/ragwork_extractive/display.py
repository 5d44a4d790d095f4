"""What a reader sees of a quote: plain text, without markup and without what only looks like text."""

import re
from collections.abc import Iterator
from itertools import zip_longest

# Links and images keep their label only: retrieved text must not make a client fetch anything.
_LINK = re.compile(r"(?<![\w)\]])!?\[([^\[\]\n]{0,300})\]\([^()\s]{0,500}(?: \"[^\"\n]{0,200}\")?\)")
_AUTOLINK = re.compile(r"<((?:https?|mailto):[^<>\s]{1,500})>")
_TAG = re.compile(
    r"</?(?:a|b|br|button|code|div|em|embed|form|h[1-6]|hr|i|iframe|img|input|kbd|li|link|meta|object|ol|p|pre"
    r"|script|span|strong|style|sub|sup|svg|table|tbody|td|th|thead|tr|u|ul|video|audio)(?:[\s/][^<>]{0,500})?>",
    re.IGNORECASE,
)
# Pairs around something only, and no identifiers: *args, 2*3*4, __init__ and snake_case stay.
_EMPHASIS = re.compile(
    r"(?<![\w*])(?P<star>\*{1,3})(?=[^\s*])(?P<starred>[^*]{1,400})(?<=[^\s*])(?P=star)(?![\w*])"
    r"|(?<![\w_])(?P<line>_{1,2})(?=[^\s_])(?P<lined>[^_]{1,400})(?<=[^\s_])(?P=line)(?![\w_])"
    r"|~~(?=\S)(?P<struck>[^~]{1,400})(?<=\S)~~"
)
_EMPHATIC = re.compile(r"[*_~]")
_DUNDER = re.compile(r"__\w+__")
_TICKS = re.compile(r"`+")
# Code that would mean something outside code: what looks like a mark, or like a link's or an image's end.
_ACTIVE = re.compile(r"\[\s*\d{1,3}(?:\s*,\s*\d{1,3})*\s*\]|\]\s*[(:\[]")
_QUOTE_SIGN = re.compile(r"\n[ \t]*(?:>[ \t]?)+")
# A mark in the source would be taken for one of ours.
_MARK = re.compile(r"\[(\d{1,3})\]")
# Controls, zero-width and bidirectional signs, and lone surrogates (which no encoder accepts).
_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_BAR = re.compile(r"(?<!\\)\|")
# Most sentences have no markup; one look spares them seven substitutions.
_MARKUP = re.compile(r"[\[<`*~_\n]")


def plain(markdown: str) -> str:
    """One line of plain text for a piece of prose or a list item. Code in it stays as it is."""
    if not _MARKUP.search(markdown):
        return literal(markdown)
    if "\n" in markdown:
        markdown = _QUOTE_SIGN.sub(" ", markdown)
    if "`" not in markdown:
        return literal(_prose(markdown))
    pieces = []
    for text, is_code in _code_apart(markdown):
        pieces.append(code(text) if is_code else literal(_prose(text), edges=True))
    return "".join(pieces).strip()


def _prose(markdown: str) -> str:
    text = _LINK.sub(r"\1", markdown) if "[" in markdown else markdown
    if "<" in text:
        text = _TAG.sub(" ", _AUTOLINK.sub(r"\1", text))
    # Twice for what stands within another.
    return _EMPHASIS.sub(_inner, _EMPHASIS.sub(_inner, text)) if _EMPHATIC.search(text) else text


def _inner(match: re.Match[str]) -> str:
    if _DUNDER.fullmatch(match.group()):
        return match.group()
    return match["starred"] or match["lined"] or match["struck"]


def _code_apart(markdown: str) -> Iterator[tuple[str, bool]]:
    """Prose and the insides of code spans, in turn. A span ends at a run of as many ticks as it began with."""
    runs = list(_TICKS.finditer(markdown))
    closing: dict[int, int] = {}
    latest: dict[int, int] = {}
    for index in range(len(runs) - 1, -1, -1):
        size = len(runs[index].group())
        closing[index] = latest.get(size, -1)
        latest[size] = index
    done = index = 0
    while index < len(runs):
        end = closing[index]
        if end < 0:
            index += 1
            continue
        yield markdown[done : runs[index].start()], False
        yield markdown[runs[index].end() : runs[end].start()], True
        done, index = runs[end].end(), end + 1
    yield markdown[done:], False


def cells(line: str) -> list[str]:
    """A table line's cells as plain text. A bar with a backslash before it is the cell's own, in code, too."""
    line = line.strip()
    inner = line[line.startswith("|") : len(line) - (line.endswith("|") and not line.endswith("\\|"))]
    return [plain(cell.replace("\\|", "|").strip()) for cell in _BAR.split(inner)]


def row(names: list[str], values: list[str]) -> str:
    """A table row under its header: ``column: value; column: value``. Without a header the first cell leads."""
    if not names:
        values = [value for value in values if value]
        return ": ".join(filter(None, (values[0], "; ".join(values[1:])))) if values else ""
    named = zip_longest(names, values, fillvalue="")
    return "; ".join(f"{name}: {value}" if name else value for name, value in named if value)


def code(text: str) -> str:
    """Code as it is, but for line ends and hidden signs; in ticks where it would mean something outside them."""
    if not text.isprintable():
        text = _HIDDEN.sub("", text.replace("\n", " "))
    if len(text) > 2 and text[0] == text[-1] == " " and text.strip():
        text = text[1:-1]
    if not _ACTIVE.search(text):
        return text
    fence = "`" * (max((len(run) for run in _TICKS.findall(text)), default=0) + 1)
    return f"{fence}{text}{fence}"


def literal(text: str, *, edges: bool = False) -> str:
    """One line of text without hidden signs and marks; with ``edges`` one blank stays where some were."""
    if not text.isprintable():
        text = _HIDDEN.sub("", text)
    line = " ".join(text.split())
    if edges and text:
        line = f"{' ' if text[0].isspace() else ''}{line}{' ' if line and text[-1].isspace() else ''}"
    return _MARK.sub(r"(\1)", line) if "[" in line else line
