"""The part of Discovery Engine's filter language that tests need: ``ANY``, ``=``, AND, OR and parentheses."""

import json
import re
from collections.abc import Mapping
from typing import Any

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<number>-?\d[\d.eE+\-]*)|(?P<word>[\w.\-]+)|(?P<sign>[():,=]))"""
)


class FilterSyntaxError(ValueError):
    """Not a filter; the service answers 400."""


def matches(expression: str, fields: Mapping[str, Any]) -> bool:
    """Whether a document with ``fields`` passes. Raises ``FilterSyntaxError``."""
    parser = _Parser(expression, fields)
    found = parser.either()
    if parser.rest:
        raise FilterSyntaxError(expression)
    return found


class _Parser:
    def __init__(self, expression: str, fields: Mapping[str, Any]) -> None:
        self.rest = list(_tokens(expression))
        self._fields = fields

    def either(self) -> bool:
        found = self._both()
        while self._accept("OR"):
            found = self._both() or found
        return found

    def _both(self) -> bool:
        found = self._one()
        while self._accept("AND"):
            found = self._one() and found
        return found

    def _one(self) -> bool:
        if self._accept("("):
            found = self.either()
            self._expect(")")
            return found
        value = self._fields.get(self._next())
        values = value if isinstance(value, list) else [value]
        if self._accept("="):
            number = float(self._next())
            return any(each == number for each in values if not isinstance(each, bool | str))
        for token in (":", "ANY", "("):
            self._expect(token)
        wanted = [json.loads(self._next())]
        while self._accept(","):
            wanted.append(json.loads(self._next()))
        self._expect(")")
        return any(_as_text(each) in wanted for each in values)

    def _next(self) -> str:
        if not self.rest:
            raise FilterSyntaxError("the filter ends too early")
        return self.rest.pop(0)

    def _accept(self, token: str) -> bool:
        found = bool(self.rest) and self.rest[0] == token
        if found:
            self.rest.pop(0)
        return found

    def _expect(self, token: str) -> None:
        if not self._accept(token):
            raise FilterSyntaxError(f"{token} expected")


def _tokens(expression: str) -> list[str]:
    found, at = [], 0
    while at < len(expression.rstrip()):
        match = _TOKEN.match(expression, at)
        if match is None:
            raise FilterSyntaxError(expression)
        found.append(match[0].strip())
        at = match.end()
    return found


def _as_text(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value
