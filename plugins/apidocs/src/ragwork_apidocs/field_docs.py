"""What the fields of wire classes mean: the ``#:`` comments above them, read from the source when asked.

A comment may end with ``Example:`` and a JSON value::

    #: What people call it. Example: "Handbook"
    name: str
"""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Final

import attrs
import orjson

_MARK: Final = "#:"
_EXAMPLE: Final = "Example:"


@attrs.frozen(kw_only=True)
class FieldDoc:
    """``example`` is ``attrs.NOTHING`` where the comment gives none."""

    text: str = ""
    example: object = attrs.field(factory=lambda: attrs.NOTHING)


class FieldDocs:
    """Reads each module once. Where the source is not installed there are no descriptions, and nothing fails."""

    def __init__(self) -> None:
        self._comments: dict[str, Mapping[tuple[str, str], str]] = {}

    def of(self, kind: type, field: str) -> FieldDoc:
        """The comment of ``field``, from the class that declares it."""
        for declaring in kind.__mro__:
            comment = self._module(declaring.__module__).get((declaring.__qualname__, field))
            if comment is not None:
                return _parsed(comment, f"{declaring.__qualname__}.{field}")
        return FieldDoc()

    def _module(self, name: str) -> Mapping[tuple[str, str], str]:
        if name not in self._comments:
            self._comments[name] = dict(_read(name))
        return self._comments[name]


def _read(module: str) -> Iterator[tuple[tuple[str, str], str]]:
    try:
        source = inspect.getsource(sys.modules[module])
    except (KeyError, OSError, TypeError):
        return
    lines = source.splitlines()
    for name, node in _classes(ast.parse(source), ""):
        for field in node.body:
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                comment = _comment_above(lines, field.lineno - 1)
                if comment:
                    yield (name, field.target.id), comment


def _classes(node: ast.AST, path: str) -> Iterator[tuple[str, ast.ClassDef]]:
    """Every class below ``node`` with its ``__qualname__``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield path + child.name, child
            yield from _classes(child, f"{path}{child.name}.")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _classes(child, f"{path}{child.name}.<locals>.")


def _comment_above(lines: list[str], index: int) -> str:
    found: list[str] = []
    while index > 0 and (line := lines[index - 1].strip()).startswith(_MARK):
        found.insert(0, line.removeprefix(_MARK).strip())
        index -= 1
    return " ".join(found)


def _parsed(comment: str, where: str) -> FieldDoc:
    text, marked, example = comment.partition(_EXAMPLE)
    if not marked:
        return FieldDoc(text=text.strip())
    try:
        return FieldDoc(text=text.strip(), example=orjson.loads(example))
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the example of {where} is no JSON: {error}") from None
