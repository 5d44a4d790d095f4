"""JSON text of a body: looked over in slices before it is decoded, so that no text holds up the loop.

What the database could not keep is refused here as well: NUL characters, and nesting that could not be
encoded again.
"""

import asyncio
import gc
from collections.abc import Iterable
from typing import Any, Final

import orjson
from ragwork_hooks.errors import Problem

from ragwork_kernel.base import json_codec

BOM: Final = b"\xef\xbb\xbf"
MAX_VALUES: Final = 100_000
MAX_DEPTH: Final = 64
_SLICE: Final = 131_072
_OPENING, _CLOSING = 1, 2
_BRACKETS: Final = bytes.maketrans(b"[{]}", bytes((_OPENING, _OPENING, _CLOSING, _CLOSING)))
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[{]}"))
_LONGEST_ESCAPE: Final = 6


async def parse(raw: bytes) -> Any:
    """Plain values; a byte order mark is skipped. ``Problem`` 422 for anything else, or too much of it."""
    raw = raw.removeprefix(BOM)
    value = _decoded(raw, await survey(raw))
    if len(raw) > _SLICE:
        await asyncio.sleep(0)
    return value


async def survey(raw: bytes) -> "Survey":
    """What stands in JSON text, before anybody decodes it. Raises ``Problem`` 422 when that is too much."""
    found = Survey()
    for start in range(0, len(raw), _SLICE):
        found.look(raw[start : start + _SLICE])
        if len(raw) > _SLICE:
            await asyncio.sleep(0)
    return found


def _decoded(raw: bytes, found: "Survey") -> Any:
    # New values have no cycles: looking for some, again and again while they are made, would double the time.
    collecting = gc.isenabled()
    gc.disable()
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _refusal("json_invalid", str(error)) from None
    finally:
        if collecting:
            gc.enable()
    if found.has_nul:
        raise _refusal("string_nul", "must not contain NUL characters", *(_path_to_nul(value) or ()))
    return value


def _refusal(kind: str, message: str, *path: str | int) -> Problem:
    return json_codec.invalid([{"type": kind, "loc": json_codec.location(["body", *path]), "msg": message}])


def _path_to_nul(value: Any) -> tuple[str | int, ...] | None:
    """Where the first text with a NUL stands: its keys and indexes, or those of the key that has it."""
    if isinstance(value, str):
        return () if "\0" in value else None
    inside: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        inside = value.items()
    elif isinstance(value, list):
        inside = enumerate(value)
    for key, item in inside:
        rest = _path_to_nul(key) if isinstance(key, str) else None
        rest = _path_to_nul(item) if rest is None else rest
        if rest is not None:
            return (key, *rest)
    return None


class Survey:
    """Counts values and nesting outside of strings, piece by piece; JSON that is none gets through."""

    def __init__(self) -> None:
        self.has_nul = False
        self._cut = b""
        self._in_string = False
        self._values = 0
        self._depth = 0

    def look(self, piece: bytes) -> None:
        """Raises ``Problem`` 422 when what was seen so far is too much."""
        text = self._whole_escapes(self._cut + piece)
        self.has_nul = self.has_nul or b"\\u0000" in text
        pieces = text.replace(b'\\"', b"").split(b'"')
        outside = b"".join(pieces[self._in_string :: 2])
        self._in_string ^= len(pieces) % 2 == 0
        brackets = outside.translate(_BRACKETS, _NO_BRACKETS)
        self._values += brackets.count(_OPENING) + outside.count(b",")
        if self._values > MAX_VALUES:
            raise _refusal("too_many_values", f"holds more than {MAX_VALUES} values; send it in parts")
        self._descend(brackets)

    def _whole_escapes(self, text: bytes) -> bytes:
        """``text`` without escaped backslashes; an escape that its end cuts waits for the next piece."""
        text = text.replace(b"\\\\", b"")
        end = text.rfind(b"\\", max(len(text) - _LONGEST_ESCAPE + 1, 0))
        self._cut = b"" if end < 0 else text[end:]
        return text if end < 0 else text[:end]

    def _descend(self, brackets: bytes) -> None:
        if self._depth + brackets.count(_OPENING) <= MAX_DEPTH:
            self._depth += 2 * brackets.count(_OPENING) - len(brackets)
            return
        for bracket in brackets:
            self._depth += 1 if bracket == _OPENING else -1
            if self._depth > MAX_DEPTH:
                raise _refusal("too_deep", f"is nested deeper than {MAX_DEPTH} levels")
