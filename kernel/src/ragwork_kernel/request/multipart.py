"""``multipart/form-data`` (RFC 7578) out of bytes that are all there: one search per part, whatever stands in them."""

import warnings
from collections.abc import Mapping
from email.message import Message
from typing import Final

import attrs
from aiohttp import content_disposition_filename, parse_content_disposition

MAX_PARTS: Final = 20
_MAX_HEAD: Final = 4096
_END: Final = b"--"


@attrs.frozen(kw_only=True)
class Part:
    """One part. ``filename`` is the client's text, ``None`` for a part that is no file."""

    name: str
    filename: str | None
    content_type: str
    data: bytes

    @property
    def is_json(self) -> bool:
        """Whether its label says so, or its name where the client did not know."""
        if self.content_type == "application/octet-stream":
            return (self.filename or "").lower().endswith(".json")
        return self.content_type == "application/json"


def parts(raw: bytes, content_type: str) -> list[Part]:
    """All parts in their order. ``ValueError`` says what is wrong, without words of the body."""
    delimiter = b"\r\n--" + _boundary(content_type)
    if raw.startswith(delimiter[2:]):
        at = len(delimiter) - 2
    else:
        at = raw.find(delimiter) + len(delimiter)
        if at < len(delimiter):
            raise ValueError("the boundary of the header does not occur in it")
    found: list[Part] = []
    while not raw.startswith(_END, at):
        end = raw.find(delimiter, at)
        if end < 0:
            raise ValueError("the last boundary is missing")
        if len(found) == MAX_PARTS:
            raise ValueError(f"it has more than {MAX_PARTS} parts")
        found.append(_part(raw, at, end))
        at = end + len(delimiter)
    return found


def _boundary(content_type: str) -> bytes:
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    if not boundary or len(boundary) > 70 or not boundary.isascii():
        raise ValueError("the header names no boundary of 1 to 70 characters")
    return boundary.encode()


def _part(raw: bytes, start: int, end: int) -> Part:
    line, head = raw.find(b"\r\n", start, end), raw.find(b"\r\n\r\n", start, end)
    if line < 0 or head < line or raw[start:line].strip(b" \t") or head - start > _MAX_HEAD:
        raise ValueError("a part has no headers, or too long ones")
    headers = _headers(raw[line + 2 : head])
    kind, parameters = _disposition(headers.get("content-disposition"))
    name = parameters.get("name")
    if kind != "form-data" or name is None:
        raise ValueError("a part has no Content-Disposition of form-data with a name")
    content_type = headers.get("content-type", "application/octet-stream")
    return Part(
        name=name,
        filename=content_disposition_filename(parameters),
        content_type=content_type.partition(";")[0].strip().lower(),
        data=raw[head + 4 : end],
    )


def _disposition(header: str | None) -> tuple[str | None, Mapping[str, str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return parse_content_disposition(header)
        except RuntimeWarning:
            raise ValueError("a part has a Content-Disposition that can't be read") from None


def _headers(raw: bytes) -> dict[str, str]:
    """By lower-case name. Bytes that are no UTF-8 are replaced: no answer could carry them."""
    lines = [line.partition(":") for line in raw.decode("utf-8", "replace").split("\r\n")]
    return {name.strip().lower(): value.strip() for name, _, value in lines}
