"""Bodies, queries and paths that nobody sends in good faith, made from what a route declares."""

import itertools
import json
import random
import typing
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import attrs
from ragwork_hooks.http import AnyRoute, Empty, Upload

TIMES = (
    "9999-12-31T23:59:59.9999999Z",
    "9999-12-31T20:00:00-05:00",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "1900-01-01T00:00:00+00:00",
    "1969-12-31T23:59:59Z",
    "2026-02-30T00:00:00Z",
    "2026-01-01",
)
#: As JSON text: Python can't hold all of them.
NUMBERS = (
    "0", "-1", "-0.0", "1e308", "1e999", "NaN", "2147483648", "9223372036854775807", "9223372036854775808",
    "-9223372036854775809", "18446744073709551616", "9" * 400, "1e-400", "0.1", "true",
)  # fmt: skip
TEXTS = (
    "", " ", "\0", "a\0b", "\u200b", "\u202e", "\ufeff", "é" * 129, "😀" * 300, "%s%n", "' OR 1=1 --", "{{7*7}}",
    "../../etc/passwd", "\r\nSet-Cookie: a=b", "null", "NaN", "1e999", "9" * 30, "-1", "[", "x" * 20_000,
)  # fmt: skip
#: JSON that is no Python string.
RAW_TEXTS = (r'"\ud800"', r'"\u0000"', r'"\udfff\ud800"', '"\x01"', '"\xff"')
#: What stands in a path segment, encoded.
SEGMENTS = (
    "%00", "a%00b", "%ED%A0%80", "%FF", "%2e%2e", "..%2f..", "9" * 30, "-1", "0", "1e999", "%F0%9F%98%80" * 200,
    "x" * 3000, "%20", "%E2%80%AE", "00000000-0000-0000-0000-000000000000", "a:b", "true", "%25", "*", "%0d%0a",
    "9223372036854775808", "2147483648", "1.5", "%EF%BC%91", "%C2%B2",
)  # fmt: skip
HEADERS = {
    "Idempotency-Key": (b"\xff", "é".encode(), b"x" * 129, b"x" * 8000),
    "X-Request-Id": (b"\xff", b"x" * 8000, b"a b"),
    "Accept": (b"\xff", b"*/*;q=nan", b"a," * 3900),
    "Last-Event-ID": (b"\xff", b"9" * 400),
    "Authorization": (
        b"Bearer \xff",
        b"Basic \xff",
        b"Basic bm9jb2xvbg==",
        b"Basic /w==",
        b"Bearer " + b"a" * 8000,
    ),
    "Content-Type": (
        b"\xff",
        b"application/json; charset=utf-16",
        b"application/json;" + b"a" * 4000,
        b"a/b/c",
        b";",
    ),
    "Content-Encoding": (b"gzip", b"br", b"deflate", b"zstd", b"identity", b"x"),
    "DPoP": (b"\xff", b"a.b.c", b"." * 4000),
    "X-Forwarded-For": (b"\xff", b"1.2.3.4," * 900),
    "User-Agent": (b"\xff", b"x" * 8000),
    "X-Tenant-Id": (b"\xff", b"a\tb"),
    "If-None-Match": (b"\xff",),
    "Cookie": (b"\xff=\xff",),
    "Origin": (b"\xff", b"null"),
}


def valid(kind: Any) -> Any:
    """A value that ``kind`` may take, shape only."""
    options = [o for o in typing.get_args(kind) if o is not type(None)] if _is_union(kind) else [kind]
    kind = options[0]
    origin = typing.get_origin(kind) or kind
    if isinstance(origin, type) and attrs.has(origin) and origin is not Upload:
        return {a.name: valid(hint) for a, hint in fields_of(origin)}
    simple: dict[Any, Any] = {str: "x", int: 1, float: 0.5, bool: True, datetime: "2030-01-01T00:00:00Z"}
    if origin in simple:
        return simple[origin]
    return [] if origin in (list, tuple) else {}


def fields_of(kind: Any) -> list[tuple["attrs.Attribute[Any]", Any]]:
    hints = typing.get_type_hints(kind)
    return [(a, hints[a.name]) for a in attrs.fields(kind)]


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, type(int | None))


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    return opening * depth + "1" + closing * depth


def small_values() -> Iterator[str]:
    """JSON texts of every kind, each of a few kilobytes at most."""
    yield from (json.dumps(text) for text in (*TIMES, *TEXTS))
    yield from NUMBERS
    yield from RAW_TEXTS
    yield from ("null", "[]", "{}", "[[]]", '[{"a":[1]}]', "[null]", "[1,1,1]", '["a","a"]', nested(60))
    yield from (
        nested(5000),
        nested(5000, '{"a":', "}"),
        '{"\\u0000":1}',
        '{"":{"":1}}',
        '{"$ref":"a","__proto__":1}',
    )


def large_values(size: int) -> Iterator[str]:
    """JSON texts that fill a body of ``size`` bytes."""
    yield "[" + ",".join(itertools.repeat("1", min(size // 2 - 8, 500_000))) + "]"
    yield "{" + ",".join(f'"k{n}":{n}' for n in range(min(size // 16, 60_000))) + "}"
    yield "[" + ",".join(itertools.repeat('{"a":[]}', min(size // 9 - 8, 40_000))) + "]"
    yield json.dumps(["x" * 20] * min(size // 26, 200_000))
    yield '"' + "x" * (size - 200) + '"'
    yield '"' + r"\n" * (size // 2 - 100) + '"'
    yield '"' + r"\u0041" * (size // 6 - 40) + '"'
    yield nested(size // 2 - 100)


def bodies(route: AnyRoute, values: list[str]) -> Iterator[bytes]:
    """Each value as the whole body, under an unknown name, and in the place of each field of a valid body."""
    shape = (
        {} if route.body is dict else {a.name: json.dumps(valid(hint)) for a, hint in fields_of(route.body)}
    )
    names = [
        *shape,
        *(("Operations", "schemas", "userName", "members", "active") if route.body is dict else ()),
    ]
    for value in values:
        yield value.encode("utf-8", "surrogateescape")
        for name in [*names, "unknown"]:
            fields = {**shape, name: value}
            text = "{" + ",".join(f"{json.dumps(k)}:{v}" for k, v in fields.items()) + "}"
            yield text.encode("utf-8", "surrogateescape")


def queries(route: AnyRoute, some: random.Random, count: int) -> Iterator[str]:
    from urllib.parse import quote

    texts = [quote(t) for t in (*TIMES, *TEXTS[:-1], *NUMBERS)] + ["%00", "%FF", "%ED%A0%80"]
    names = (
        [] if route.query in (Empty, dict) else [a.name.removesuffix("_") for a, _ in fields_of(route.query)]
    )
    for name in [*names, "state", "code", "tenant_id"]:
        for text in some.sample(texts, min(count, len(texts))):
            yield f"{name}={text}"
    yield "&".join(f"a{n}=" for n in range(1200))
    yield "a=&" * 2000
    yield "%00=%00&%FF"
