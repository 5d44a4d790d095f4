"""What a parser found, as the bytes that leave its process: JSON, which can say nothing but data.

What many blocks have in common (headings, column names) is written once and named by its number.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, get_args

import orjson
from ragwork_hooks.parsing import Attachment, BlockKind, Parsed, ParseError, ParseFault, TextBlock

_KINDS: Final = get_args(BlockKind)
_FAULTS: Final = get_args(ParseFault)
_TEXTS: Final = ("title", "author", "language")
#: Longest message of a fault and longest title, in characters.
_LONGEST: Final = 1_000


class MalformedAnswer(ValueError):
    """The bytes are not what a parsing process writes."""


def fault(error: ParseError) -> bytes:
    return orjson.dumps(
        {"fault": error.code, "message": _clean(error.message)[:_LONGEST], "accepted": error.accepted}
    )


def media_type(found: str) -> bytes:
    return orjson.dumps({"media_type": found})


def parsed(found: Parsed, media_type: str) -> bytes:
    """``found``, without characters that no database and no protocol takes."""
    shared: dict[tuple[str, ...], int] = {}

    def number(texts: tuple[str, ...]) -> int:
        return shared.setdefault(texts, len(shared))

    blocks = [
        (
            _KINDS.index(block.kind), _clean(block.text), number(block.headings), number(block.columns),
            block.page, block.slide, _clean(block.sheet), _clean(block.cells),
        )
        for block in found.blocks
    ]  # fmt: skip
    return orjson.dumps(
        {
            "blocks": blocks,
            "shared": [[_clean(text) for text in texts] for texts in shared],
            "media_type": media_type,
            "encoding": found.encoding,
            **{name: _short(getattr(found, name)) for name in _TEXTS},
            "created": found.created,
            "modified": found.modified,
            "attachments": [
                (_clean(each.filename), _clean(each.media_type), b64encode(each.content).decode())
                for each in found.attachments
            ],
            "warnings": [_clean(text)[:_LONGEST] for text in found.warnings],
        }
    )


def read(written: bytes) -> Parsed | str:
    """What was written: a media type, or the whole. Raises the ``ParseError`` that was, and ``MalformedAnswer``."""
    try:
        said = orjson.loads(written)
        if "fault" in said:
            raise ParseError(
                _FAULTS[_FAULTS.index(said["fault"])],
                _text(said["message"]),
                [_text(each) for each in said["accepted"]],
            )
        return _parsed(said) if "blocks" in said else _text(said["media_type"])
    except (LookupError, TypeError, ValueError) as error:
        raise MalformedAnswer(f"a parsing process wrote something else: {error!r}") from error


def _parsed(said: Mapping[str, Any]) -> Parsed:
    shared = [tuple(_text(text) for text in texts) for texts in said["shared"]]
    return Parsed(
        blocks=[_block(row, shared) for row in said["blocks"]],
        media_type=_text(said["media_type"]),
        encoding=_maybe(str, said["encoding"]),
        **{name: _maybe(str, said[name]) for name in _TEXTS},
        created=_time(said["created"]),
        modified=_time(said["modified"]),
        attachments=[
            Attachment(
                filename=_text(filename), media_type=_text(media_type), content=b64decode(_text(content))
            )
            for filename, media_type, content in said["attachments"]
        ],
        warnings=[_text(text) for text in said["warnings"]],
    )


def _block(row: Sequence[Any], shared: Sequence[tuple[str, ...]]) -> TextBlock:
    kind, text, headings, columns, page, slide, sheet, cells = row
    return TextBlock(
        kind=_KINDS[kind],
        text=_text(text),
        headings=shared[headings],
        columns=shared[columns],
        page=_maybe(int, page),
        slide=_maybe(int, slide),
        sheet=_maybe(str, sheet),
        cells=_maybe(str, cells),
    )


def _time(said: Any) -> datetime | None:
    return None if said is None else datetime.fromisoformat(said)


def _maybe(kind: type, value: Any) -> Any:
    if value is not None and type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _short(text: str | None) -> str | None:
    return _clean(" ".join(text.split()))[:_LONGEST] or None if text else None


def _clean(text: Any) -> Any:
    """``text`` without NUL and without halves of surrogate pairs; nothing stays nothing."""
    if text is None or (text.isascii() and "\x00" not in text):
        return text
    return text.replace("\x00", "").encode("utf-8", "replace").decode()
