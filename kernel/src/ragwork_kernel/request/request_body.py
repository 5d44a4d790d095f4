"""Reading a request's body with its bytes counted, and decoding body and query into their classes."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl

import attrs
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import wire_name
from ragwork_hooks.http import AnyRoute, Empty, Upload

from ragwork_kernel.base import json_codec, jsontext
from ragwork_kernel.request import multipart

#: What is taken from somebody unknown, and of forms: they hold tokens, not documents.
SMALL: Final = 16_384
_MAX_FIELDS: Final = 100
#: From so many bytes on, each pass over a body is a turn of the loop of its own.
_LARGE: Final = 262_144


def too_large(limit: int) -> Problem:
    """The refusal of a body over ``limit`` bytes."""
    return Problem(
        "PAYLOAD_TOO_LARGE",
        f"the body is larger than {limit} bytes; send less or ask the operator to raise the limit",
        details={"max_bytes": limit},
        headers={"Connection": "close"},
    )


def limit_of(route: AnyRoute, usual: int) -> int:
    """How many bytes a body of ``route`` may have; ``usual`` when nothing else is said."""
    small = route.scope == "public" or route.body_kind == "form"
    return route.body_limit or (min(SMALL, usual) if small else usual)


async def decode(request: web.Request, route: AnyRoute, limit: int) -> Any:
    """The body as ``route.body``. Raises ``Problem`` 400, 413, 415 or 422."""
    declared = request.content_length
    if declared is not None and declared > limit:
        raise too_large(limit)
    if route.body_kind == "none":
        return Empty()
    if route.body_kind == "multipart" and request.content_type != "multipart/form-data":
        raise _wrong_type(request, ["multipart/form-data"])
    raw = await _read(request, limit)
    if route.body_kind == "multipart":
        return json_codec.structure(await _multipart(request, route, raw), route.body, "body")
    if route.body_kind == "form":
        return json_codec.structure(_form(request, route, raw), route.body, "body")
    if route.body_kind == "optional_json" and not raw.strip():
        return json_codec.structure({}, route.body, "body")
    taken = [*(route.error_format.body_types if route.error_format else ("application/json",))]
    if request.content_type not in (*taken, "application/octet-stream"):
        raise _wrong_type(request, taken)
    return json_codec.structure(await jsontext.parse(raw), route.body, "body")


def decode_query(request: web.Request, route: AnyRoute) -> Any:
    """The query string as ``route.query``. Raises ``Problem`` 422."""
    if route.query is Empty:
        return Empty()
    pairs = request.query.items()
    _refuse_repeated((name for name, _ in pairs), "query")
    if route.query is dict:
        return dict(pairs)
    known = {wire_name(a.name): a for a in attrs.fields(route.query)}
    values = {
        known[name].name if name in known else name: json_codec.query_value(raw, known[name].type)
        if name in known
        else raw
        for name, raw in pairs
    }
    return json_codec.structure(values, route.query, "query")


def _refuse_repeated(names: Iterable[str], where: str) -> None:
    """A parameter that is given twice means different things to different readers."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            row: dict[str, object] = {
                "type": "duplicate",
                "loc": [where, name[:_MAX_FIELDS]],
                "msg": "is given twice",
            }
            raise json_codec.invalid([row])
        seen.add(name)


async def _read(request: web.Request, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    if request.headers.get("Expect"):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    try:
        async for chunk in request.content.iter_any():
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            chunks.append(chunk)
    except (web.RequestPayloadError, BadHttpMessage) as error:
        raise Problem(
            "BAD_REQUEST",
            "the body can't be read: its length, chunks or encoding are not what the headers say",
            headers={"Connection": "close"},
        ) from error
    whole = b"".join(chunks)
    if size > _LARGE:
        await asyncio.sleep(0)
    return whole


def _form(request: web.Request, route: AnyRoute, raw: bytes) -> dict[str, object]:
    """Known fields of a form. Unknown ones are dropped, repeated ones refused, and one without a value counts as
    left out (RFC 6749 §3.2).
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise _wrong_type(request, ["application/x-www-form-urlencoded"])
    known = {wire_name(a.name): a for a in attrs.fields(route.body)}
    values: dict[str, object] = {}
    try:
        pairs = parse_qsl(raw.decode(), errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise _malformed(str(error)) from None
    _refuse_repeated((name for name, _ in pairs if name in known), "body")
    for name, value in pairs:
        if name in known:
            values[known[name].name] = json_codec.query_value(value, known[name].type)
    return values


def _wrong_type(request: web.Request, accepted: list[str]) -> Problem:
    return Problem(
        "UNSUPPORTED_MEDIA_TYPE",
        f"the body's type is {request.content_type}; send {accepted[0]}",
        details={"accepted": accepted},
    )


async def _multipart(request: web.Request, route: AnyRoute, raw: bytes) -> dict[str, object]:
    """Fields and files. What is JSON is looked over as a body is: whoever decodes it does so in one step."""
    kinds = {a.name: a.type for a in attrs.fields(route.body)}
    values: dict[str, object] = {}
    try:
        parts = multipart.parts(raw, request.headers["Content-Type"])
    except ValueError as error:
        raise _malformed(str(error)) from None
    _refuse_repeated((part.name for part in parts), "body")
    for part in parts:
        if part.is_json:
            await jsontext.survey(part.data)
        values[part.name] = _value(part, kinds.get(part.name))
    return values


def _value(part: multipart.Part, kind: Any) -> object:
    if part.filename is not None or kind is Upload:
        return Upload(filename=part.filename or "", content_type=part.content_type, data=part.data)
    try:
        text = part.data.decode("utf-8")
    except UnicodeDecodeError:
        raise _malformed("a part that is no file is not UTF-8") from None
    return json_codec.query_value(text, kind) if kind is not None else text


def _malformed(reason: str) -> Problem:
    return json_codec.invalid(
        [{"type": "form_invalid", "loc": ["body"], "msg": f"is not a valid form: {reason}"}]
    )
