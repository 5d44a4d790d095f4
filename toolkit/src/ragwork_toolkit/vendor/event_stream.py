"""Server-sent events as services really send them: any line end, a byte order mark, comments, pieces cut anywhere.

Users: anthropic, openai.
"""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from ragwork_toolkit.vendor.errors import VendorErrorCodes, unavailable

#: More than any event of a chat is worth.
MAX_LINE_BYTES: Final = 1_048_576
_END: Final = "[DONE]"


async def objects(
    chunks: AsyncIterator[bytes], codes: VendorErrorCodes
) -> AsyncIterator[Mapping[str, Any] | None]:
    """The JSON object of each event, ``None`` for the service's own mark of the end. What is no object is skipped.

    Raises ``ProviderError`` ``codes.unavailable`` for a line without an end.
    """
    async for data in _data(chunks, codes):
        if data == _END:
            yield None
            continue
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found


async def _data(chunks: AsyncIterator[bytes], codes: VendorErrorCodes) -> AsyncIterator[str]:
    """The data of each event. One that no blank line ended counts as well: its service forgot the last one."""
    data: list[str] = []
    async for line in _lines(chunks, codes):
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        elif not line and data:
            yield "\n".join(data).strip()
            data.clear()
    if data:
        yield "\n".join(data).strip()


async def _lines(chunks: AsyncIterator[bytes], codes: VendorErrorCodes) -> AsyncIterator[str]:
    """Lines without their ends, which are LF, CR or both; a byte order mark in front is left out."""
    rest, is_first = b"", True
    async for chunk in chunks:
        # A CR at the very end may be half of a CRLF: it waits for what follows.
        *lines, rest = _split(rest + chunk)
        for line in lines:
            yield _text(line, is_first)
            is_first = False
        if len(rest) > MAX_LINE_BYTES:
            raise unavailable(codes, f"{codes.service} sent a line without an end")
    if rest:
        yield _text(rest.removesuffix(b"\r"), is_first)


def _split(data: bytes) -> list[bytes]:
    kept = b"\r" if data.endswith(b"\r") else b""
    whole = data[: len(data) - len(kept)]
    *lines, last = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return [*lines, last + kept]


def _text(line: bytes, is_first: bool) -> str:
    text = line.decode("utf-8", "replace")
    return text.removeprefix("\ufeff") if is_first else text
