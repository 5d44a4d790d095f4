"""Add a name to a list in a TOML text, or take one out, and leave every other character as it is.

The parser of the standard library keeps no text, so the list is found by its brackets; whatever comes out is parsed and
compared before anybody gets it.
"""

import re
import tomllib
from collections.abc import Callable
from typing import Final, TypeAlias

from ragwork_hooks.errors import ConfigError

Change: TypeAlias = Callable[[list[str]], list[str]]
_HEADER: Final = re.compile(r"^[ \t]*\[[^\[\]\n]+\][ \t]*(#.*)?$", re.MULTILINE)
#: What stands in a list of names: a name in either kind of quotes, or a comment.
_PART: Final = re.compile(r"""("[^"\\\n]*"|'[^'\n]*')|(#[^\n]*)""")


def added(text: str, section: str, key: str, name: str) -> str:
    """``text`` with ``name`` at the end of the list; list and section are made when they are missing."""
    span = _span(text, section, key)
    if span is None:
        changed = _with_list(text, section, key, name)
    else:
        start, end = span
        changed = text[:start] + _grown(text[start:end], name) + text[end:]
    return _checked(text, changed, section, key, lambda names: [*names, name])


def _grown(inner: str, name: str) -> str:
    """The inside of a list with ``name`` after its last member, on a line of its own if members have that."""
    members = [match for match in _PART.finditer(inner) if match[1]]
    if not members:
        return f'"{name}"{inner.lstrip(" ")}' if "\n" not in inner else f'\n    "{name}",{inner}'
    last = members[-1].end()
    comma = re.match(r"[ \t]*,", inner[last:])
    rest = inner[last + (comma.end() if comma else 0) :]
    indent = re.search(r"\n([ \t]*)[\"']", inner)
    if indent is None:
        return f'{inner[:last]}, "{name}"{rest if comma is None else ""}'
    # A comment on the line of the last member stays on it.
    line, newline, below = rest.partition("\n")
    return f'{inner[:last]},{line}\n{indent[1]}"{name}"{"," if comma else ""}{newline}{below}'


def removed(text: str, section: str, key: str, name: str) -> str:
    """``text`` without ``name`` in the list, which is there and has it."""
    span = _span(text, section, key)
    if span is None:
        raise _by_hand(section, key)
    start, end = span
    inner = text[start:end]
    for match in _PART.finditer(inner):
        if match[1] and match[1][1:-1] == name:
            after = re.match(r"[ \t]*,[ \t]*", inner[match.end() :])
            left, right = inner[: match.start()], inner[match.end() + (after.end() if after else 0) :]
            if not after:
                left = re.sub(r",[ \t]*$", "", left)
            if left.rstrip(" \t").endswith("\n") and right.startswith("\n"):
                left, right = left.rstrip(" \t"), right[1:]
            inner = left + right
            break
    changed = text[:start] + inner + text[end:]
    return _checked(text, changed, section, key, lambda names: [each for each in names if each != name])


def _span(text: str, section: str, key: str) -> tuple[int, int] | None:
    """Where the inside of the list stands, or ``None`` without such a list."""
    header = re.search(rf"^[ \t]*\[[ \t]*{section}[ \t]*\][ \t]*(#.*)?$", text, re.MULTILINE)
    if header is None:
        return None
    following = _HEADER.search(text, header.end())
    stop = following.start() if following else len(text)
    begin = re.compile(rf"^[ \t]*{key}[ \t]*=[ \t]*\[", re.MULTILINE).search(text, header.end(), stop)
    if begin is None:
        return None
    at = begin.end()
    while at < len(text):
        part = _PART.match(text, at)
        if part:
            at = part.end()
        elif text[at] == "]":
            return begin.end(), at
        else:
            at += 1
    return None


def _with_list(text: str, section: str, key: str, name: str) -> str:
    line = f'{key} = ["{name}"]\n'
    header = re.search(rf"^[ \t]*\[[ \t]*{section}[ \t]*\][ \t]*(#.*)?(\n|$)", text, re.MULTILINE)
    if header is not None:
        head = text[: header.end()]
        return f"{head}{'' if head.endswith(chr(10)) else chr(10)}{line}{text[header.end() :]}"
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    return f"{text}{gap}[{section}]\n{line}"


def _checked(before: str, after: str, section: str, key: str, change: Change) -> str:
    """``after``, if it says what ``before`` says but for the list."""
    wanted = tomllib.loads(before)
    table = wanted.setdefault(section, {})
    table[key] = change(list(table.get(key, [])))
    try:
        if tomllib.loads(after) == wanted:
            return after
    except tomllib.TOMLDecodeError:
        pass
    raise _by_hand(section, key)


def _by_hand(section: str, key: str) -> ConfigError:
    return ConfigError(
        f"[{section}] {key}", "is written in a form that can't be edited here", "edit it by hand"
    )
