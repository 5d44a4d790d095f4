"""A policy's text as tokens. Two engines read what this module has judged, so it refuses what they could read
in two ways: control characters, lone carriage returns, template strings.
"""

import re
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias, cast

import attrs
from ragwork_hooks.policy import PolicySourceError

Kind: TypeAlias = Literal["word", "text", "number", "mark"]

_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t]+|\#[^\n]*)
      | (?P<newline>\n)
      | (?P<text>"(?:[^"\\\n]|\\[^\n])*"|`[^`]*`)
      | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<mark>:=|==|!=|<=|>=|[{}\[\]().,:;=<>+\-*/%&|])""",
    re.VERBOSE,
)
#: Brackets within brackets. The engines take much more, at a price that doubles with each.
MAX_DEPTH: Final = 24
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029\ud800-\udfff]")


@attrs.frozen
class Token:
    """A piece of text that counts. ``depth`` is the number of brackets around it; an opening or closing
    bracket has the depth outside it. ``first`` tells that it begins its line.
    """

    kind: Kind
    text: str
    start: int
    line: int
    depth: int
    first: bool

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def tokens(source: str) -> Sequence[Token]:
    """The tokens of ``source``, without spaces and comments. Raises ``PolicySourceError``."""
    found: list[Token] = []
    line, line_start, at, depth, first = 1, 0, 0, 0, True
    if control := _CONTROL.search(source):
        raise _refused(source, control.start(), "control characters and halves of characters are not allowed")
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            raise PolicySourceError(f"{source[at]!r} is not expected here", line, at - line_start + 1)
        kind, text = match.lastgroup, match.group()
        if kind == "newline":
            line, line_start, first = line + 1, match.end(), True
        elif kind != "space":
            depth -= text in ("}", "]", ")")
            found.append(Token(cast("Kind", kind), text, at, line, depth, first))
            depth += text in ("{", "[", "(")
            if depth > MAX_DEPTH:
                raise _refused(source, at, f"brackets are nested deeper than {MAX_DEPTH}")
            line, first = line + text.count("\n"), False
        at = match.end()
    return found


def _refused(source: str, at: int, message: str) -> PolicySourceError:
    before = source[:at]
    return PolicySourceError(message, before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1)
