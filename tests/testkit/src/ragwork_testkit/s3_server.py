"""A local server that speaks as much of S3 as reading takes: ListObjectsV2 and GetObject, by path. Signatures are
checked. It can be told how to fail.
"""

import hashlib
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

import attrs
from aiohttp import web

from ragwork_testkit.aws_signature import SignedRequest, verify
from ragwork_testkit.local_server import served, spoiled

S3_KEY_ID, S3_SECRET = "AKIAS3TEST01234567", "s3-test-secret/0123456789"
_XML = '<?xml version="1.0" encoding="UTF-8"?>'


@attrs.define
class S3Server:
    """``buckets`` map names to objects by key. ``page_size`` bounds a page of a listing. ``faults`` are what goes
    wrong with the next requests (see ``local_server.spoiled``), ``""`` for nothing, a number for a status;
    ``requests`` what was asked.
    """

    base_url: str = ""
    page_size: int = 1000
    buckets: dict[str, dict[str, bytes]] = attrs.field(factory=dict)
    secrets: dict[str, str] = attrs.field(factory=lambda: {S3_KEY_ID: S3_SECRET})
    faults: deque[str] = attrs.field(factory=deque)
    requests: list[str] = attrs.field(factory=list)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/{bucket}", self._list)
        app.router.add_get("/{bucket}/{key:.*}", self._get)
        return app

    async def _list(self, request: web.Request) -> web.StreamResponse:
        if refused := self._refused(request):
            return refused
        name, query = request.match_info["bucket"], request.query
        prefix, after = query.get("prefix", ""), query.get("continuation-token", "")
        keys = sorted(key for key in self.buckets[name] if key.startswith(prefix) and key > after)
        page = keys[: min(self.page_size, int(query.get("max-keys", "1000")))]
        is_url = query.get("encoding-type") == "url"
        contents = "".join(self._entry(name, key, is_url=is_url) for key in page)
        more = len(page) < len(keys)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        encoded = "<EncodingType>url</EncodingType>" if is_url else ""
        body = (
            f"{_XML}<ListBucketResult><Name>{name}</Name><KeyCount>{len(page)}</KeyCount>{encoded}"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
        )
        return await self._answer(request, body.encode(), "application/xml", {})

    async def _get(self, request: web.Request) -> web.StreamResponse:
        if refused := self._refused(request):
            return refused
        key = unquote(request.raw_path.partition("?")[0].split("/", 2)[2])
        data = self.buckets[request.match_info["bucket"]].get(key)
        if data is None:
            return _error(404, "NoSuchKey")
        return await self._answer(request, data, "application/octet-stream", {"ETag": _etag(data)})

    def _refused(self, request: web.Request) -> web.Response | None:
        path, _, query = request.raw_path.partition("?")
        self.requests.append(request.raw_path)
        headers = {name.lower(): value for name, value in request.headers.items()}
        arrived = SignedRequest(method=request.method, raw_path=path, query=query, headers=headers, body=b"")
        if verify(arrived, self.secrets) is None:
            return _error(403, "SignatureDoesNotMatch")
        if request.match_info["bucket"] not in self.buckets:
            return _error(404, "NoSuchBucket")
        if self.faults and self.faults[0].isdigit():
            return _error(int(self.faults.popleft()), "SlowDown")
        return None

    async def _answer(
        self, request: web.Request, data: bytes, content_type: str, headers: Mapping[str, str]
    ) -> web.Response:
        data = await spoiled(request, data, self.faults.popleft() if self.faults else None)
        return web.Response(body=data, content_type=content_type, headers=headers)

    def _entry(self, bucket: str, key: str, *, is_url: bool) -> str:
        data = self.buckets[bucket][key]
        written = quote(key, safe="/") if is_url else escape(key)
        return (
            f"<Contents><Key>{written}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>"
            f"<ETag>{escape(_etag(data))}</ETag><Size>{len(data)}</Size></Contents>"
        )


@asynccontextmanager
async def serving(**given: Any) -> AsyncIterator[S3Server]:
    """A server on a free port of the loopback interface."""
    server = S3Server(**given)
    async with served(server.application()) as address:
        server.base_url = address
        yield server


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def _error(status: int, code: str) -> web.Response:
    text = f"{_XML}<Error><Code>{code}</Code><Message>as told</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")
