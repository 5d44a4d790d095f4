"""Reading a request's body with its bytes counted, and decoding body and query into their classes."""

from typing import Any
from urllib.parse import parse_qsl

import attrs
from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import BadHttpMessage
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import AnyRoute, NoFields, Upload

from ragwork_kernel import codec

_MAX_PARTS = 20
_MAX_FIELDS = 100


def too_large(limit: int) -> Problem:
    """The refusal of a body over ``limit`` bytes."""
    return Problem(
        "PAYLOAD_TOO_LARGE",
        f"the body is larger than {limit} bytes; send less or ask the operator to raise the limit",
        details={"max_bytes": limit},
        headers={"Connection": "close"},
    )


async def decode(request: web.Request, route: AnyRoute, limit: int) -> Any:
    """The body as ``route.body``. Raises ``Problem`` 413, 415 or 422."""
    declared = request.content_length
    if declared is not None and declared > limit:
        raise too_large(limit)
    if route.body_kind == "none":
        return NoFields()
    if route.body_kind == "multipart":
        return codec.structure(await _multipart(request, route, limit), route.body, "body")
    raw = await _read(request, limit)
    if route.body_kind == "form":
        return codec.structure(_form(request, route, raw), route.body, "body")
    if route.body_kind == "optional_json" and not raw.strip():
        return codec.structure({}, route.body, "body")
    taken = ["application/json", *([route.dialect.media_type] if route.dialect else [])]
    if request.content_type not in (*taken, "application/octet-stream"):
        raise _wrong_type(request, taken)
    return codec.structure(codec.parse(raw), route.body, "body")


def decode_query(request: web.Request, route: AnyRoute) -> Any:
    """The query string as ``route.query``. Raises ``Problem`` 422."""
    if route.query is NoFields:
        return NoFields()
    if route.query is dict:
        return _raw_query(request)
    known = {codec.wire_name(a.name): a for a in attrs.fields(route.query)}
    values: dict[str, object] = {}
    seen: set[str] = set()
    for name, raw in request.query.items():
        if name in seen:
            raise codec.invalid(
                [{"type": "duplicate", "loc": ["query", name], "msg": "is given twice", "input": raw}]
            )
        seen.add(name)
        if name in known:
            values[known[name].name] = codec.query_value(raw, known[name].type)
        else:
            values[name] = raw
    return codec.structure(values, route.query, "query")


def _raw_query(request: web.Request) -> dict[str, str]:
    """Every parameter as it came, for standards that have unknown ones ignored; none twice."""
    names = list(request.query)
    for name in names:
        if names.count(name) > 1:
            raise codec.invalid([{"type": "duplicate", "loc": ["query", name], "msg": "is given twice"}])
    return dict(request.query)


async def _read(request: web.Request, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.content.iter_any():
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            chunks.append(chunk)
    except (web.RequestPayloadError, BadHttpMessage) as error:
        raise Problem("BAD_REQUEST", f"the body can't be read: {error}") from None
    return b"".join(chunks)


def _form(request: web.Request, route: AnyRoute, raw: bytes) -> dict[str, object]:
    """Known fields of a form; unknown ones are dropped, repeated ones refused (RFC 6749 §3.2)."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise _wrong_type(request, ["application/x-www-form-urlencoded"])
    known = {codec.wire_name(a.name): a for a in attrs.fields(route.body)}
    values: dict[str, object] = {}
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise _malformed(str(error)) from None
    for name, value in pairs:
        if name in known and known[name].name in values:
            raise codec.invalid([{"type": "duplicate", "loc": ["body", name], "msg": "is given twice"}])
        if name in known:
            values[known[name].name] = codec.query_value(value, known[name].type)
    return values


def _wrong_type(request: web.Request, accepted: list[str]) -> Problem:
    return Problem(
        "UNSUPPORTED_MEDIA_TYPE",
        f"the body's type is {request.content_type}; send {accepted[0]}",
        details={"accepted": accepted},
    )


async def _multipart(request: web.Request, route: AnyRoute, limit: int) -> dict[str, object]:
    if request.content_type != "multipart/form-data":
        raise _wrong_type(request, ["multipart/form-data"])
    kinds = {a.name: a.type for a in attrs.fields(route.body)}
    values: dict[str, object] = {}
    left = limit
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader) or len(values) >= _MAX_PARTS:
                raise _malformed("nested or too many parts")
            data = await _part(part, left, limit)
            left -= len(data)
            name = _clean(part.name)
            if name in values:
                raise _malformed(f"part {name!r} is given twice")
            values[name] = _value(part, data, kinds.get(name))
    except (ValueError, AssertionError, RuntimeError, web.RequestPayloadError, BadHttpMessage) as error:
        raise _malformed(str(error)) from None
    return values


async def _part(part: BodyPartReader, left: int, limit: int) -> bytes:
    chunks: list[bytes] = []
    while chunk := await part.read_chunk(65536):
        left -= len(chunk)
        if left < 0:
            raise too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _value(part: BodyPartReader, data: bytes, kind: Any) -> object:
    if part.filename is not None or kind is Upload:
        content_type = part.headers.get("Content-Type", "application/octet-stream")
        return Upload(
            filename=_clean(part.filename),
            content_type=content_type.partition(";")[0].strip().lower(),
            data=data,
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise _malformed(f"part {part.name!r} is not UTF-8") from None
    return codec.query_value(text, kind) if kind is not None else text


def _clean(name: str | None) -> str:
    """A header's bytes that are no UTF-8 reach us as lone surrogates, which no answer can carry."""
    return (name or "").encode("utf-8", "replace").decode()


def _malformed(reason: str) -> Problem:
    return codec.invalid(
        [{"type": "multipart_invalid", "loc": ["body"], "msg": f"is not a valid form: {reason}"}]
    )
