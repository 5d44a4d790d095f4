"""Text that others wrote, made safe to stand in a prompt or in an answer."""

import re
from collections.abc import Iterator

# A citation mark; only ours may look like one.
_MARK = re.compile(r"\[(\s*\d{1,3}(?:\s*,\s*\d{1,3})*\s*)\]")
# What could open or close our delimiters, or the turns of a chat template.
_DELIMITER = re.compile(r"<(?=[\s/\\]*passages?\b|\|)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
#: A code span within a line. What stands in one is code, never a mark.
CODE_SPAN = r"(?<!`)(?P<ticks>`{1,3})(?!`)[^\n]{1,500}?(?<!`)(?P=ticks)(?!`)"
CODE = re.compile(CODE_SPAN)
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def as_data(text: str) -> str:
    """``text`` without anything that reads as a delimiter or a citation mark.

    Character for character, so offsets into the result are offsets into ``text``. What looks like a mark in code
    is an index, and stays.
    """
    text = "".join(part if is_code else _MARK.sub(r"(\1)", part) for part, is_code in _code_apart(text))
    return without_delimiters(text)


def without_delimiters(text: str) -> str:
    """``text`` without anything that reads as a delimiter of a prompt, and without controls; as long as before."""
    return _SURROGATE.sub("\ufffd", _CONTROL.sub(" ", _DELIMITER.sub("\u2039", text)))


def clean(text: str) -> str:
    """``text`` without control characters (tab and line ends stay) and lone surrogates."""
    if text.isprintable():  # nearly every token: no search needed
        return text
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", text))


def without_marks(text: str) -> str:
    """``text`` without citation marks: an earlier answer's numbers mean nothing in a later prompt."""
    return _MARK.sub("", text)


def _code_apart(text: str) -> Iterator[tuple[str, bool]]:
    """``text`` in pieces, each with whether it is code: spans within lines, and lines between fences."""
    if "`" not in text and "~~~" not in text:
        yield text, False
        return
    fence = ""
    for line in text.splitlines(keepends=True):
        found = _FENCE.match(line)
        if found and (not fence or found[1].startswith(fence)):
            fence = "" if fence else found[1]
            yield line, True
        elif fence:
            yield line, True
        else:
            done = 0
            for span in CODE.finditer(line):
                yield line[done : span.start()], False
                yield span.group(), True
                done = span.end()
            yield line[done:], False
