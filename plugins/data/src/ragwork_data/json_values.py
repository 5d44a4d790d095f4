"""JSON, JSON Lines and notebooks: keys become headings and names, lists of records become rows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
from ragwork_hooks.parsing import Parsed, ParseError, SourceFile
from ragwork_toolkit.parsing.block_list import BlockList, row_range, too_many
from ragwork_toolkit.parsing.markdown_reader import MarkdownReader

#: Texts that are longer, or have lines, are paragraphs of their own.
_SHORT: Final = 300
#: Outputs of a notebook's cell beyond this are data, not something to read.
_MAX_OUTPUT: Final = 10_000


def read(text: str, source: SourceFile) -> Parsed:
    """See ``Parser.parse``."""
    value = _value(text, "The file")
    if isinstance(value, dict) and isinstance(value.get("cells"), list) and "nbformat" in value:
        return _notebook(value, source)
    title = value.get("title") if isinstance(value, dict) else None
    return _parsed(value, source, title if isinstance(title, str) else None)


def read_lines(text: str, source: SourceFile) -> Parsed:
    """See ``Parser.parse``."""
    lines = enumerate(text.splitlines(), 1)
    return _parsed([_value(line, f"Line {number}") for number, line in lines if line.strip()], source)


def _value(text: str, where: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if "depth limit" in str(error):
            raise ParseError("resource_limit", f"{where} has values nested too deeply") from None
        raise ParseError("corrupt", f"{where} is no JSON: {error}") from None


def _parsed(value: Any, source: SourceFile, title: str | None = None) -> Parsed:
    walker = _Walker(source)
    walker.walk(value, 0)
    return Parsed(blocks=walker.blocks.blocks, title=title, encoding=source.encoding)


class _Walker:
    def __init__(self, source: SourceFile) -> None:
        self._limits = source.limits
        self.blocks = BlockList(source.limits)

    def walk(self, value: Any, depth: int) -> None:
        """Raises ``ParseError``."""
        if depth > self._limits.nesting:
            raise too_many("values in each other", self._limits.nesting)
        if isinstance(value, dict):
            self._object(value, depth)
        elif isinstance(value, list):
            self._list(value, depth)
        else:
            self._text(_said(value))

    def _object(self, value: Mapping[str, Any], depth: int) -> None:
        """What is short first, line by line; then what is long or has parts, below its key."""
        short = {key: _said(each) for key, each in value.items() if _is_short(each)}
        self.blocks.add("paragraph", "\n".join(f"{key}: {said}" for key, said in short.items() if said))
        for key, each in value.items():
            if key not in short:
                self.blocks.heading(depth + 1, key)
                self.walk(each, depth + 1)
                self.blocks.leave(depth + 1)

    def _list(self, values: Sequence[Any], depth: int) -> None:
        if all(map(_is_short, values)):
            self.blocks.add("list", "\n".join(filter(None, map(_said, values))))
        elif all(isinstance(each, dict) and all(map(_is_short, each.values())) for each in values):
            columns = tuple(dict.fromkeys(key for each in values for key in each))
            for number, each in enumerate(values, 2):
                cells = [_said(each.get(column)) for column in columns]
                self.blocks.row(cells, columns, cells=row_range(number, len(columns)) if columns else None)
        else:
            for each in values:
                self.walk(each, depth + 1)

    def _text(self, text: str) -> None:
        for paragraph in _paragraphs(text):
            self.blocks.add("paragraph", paragraph)


def _is_short(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _SHORT and "\n" not in value.strip()
    return not isinstance(value, dict | list)


def _said(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    return "" if value is None else orjson.dumps(value).decode()


def _paragraphs(text: str) -> Iterator[str]:
    return (part.strip("\n") for part in text.replace("\r\n", "\n").split("\n\n"))


def _notebook(notebook: Mapping[str, Any], source: SourceFile) -> Parsed:
    blocks, title, left_out = BlockList(source.limits), None, 0
    for cell in notebook["cells"]:
        text = _joined(cell.get("source"))
        if cell.get("cell_type") == "markdown":
            title = MarkdownReader(text.split("\n"), blocks).read() or title
        elif cell.get("cell_type") == "code":
            blocks.add("code", text)
            for output in cell.get("outputs") or ():
                said = _joined(output.get("text") or (output.get("data") or {}).get("text/plain"))
                left_out += len(said) > _MAX_OUTPUT or not said
                if len(said) <= _MAX_OUTPUT:
                    blocks.add("code", said)
        else:
            blocks.add("paragraph", text)
    metadata = notebook.get("metadata") or {}
    return Parsed(
        blocks=blocks.blocks,
        title=metadata.get("title") or title,
        author=", ".join(str(each.get("name", "")) for each in metadata.get("authors") or ()) or None,
        encoding=source.encoding,
        warnings=[f"{left_out} outputs of cells are images or too long, and were left out"]
        if left_out
        else [],
    )


def _joined(source: Any) -> str:
    """Texts of a notebook are one, or a list of lines with their ends."""
    return "".join(map(str, source)) if isinstance(source, list) else str(source or "")
