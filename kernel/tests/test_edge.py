"""What is no request is answered in our own words: envelope, id, headers, one line in the log, no byte of what came."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from ragwork_kernel.data import migrations
from ragwork_kernel.request.responses import SECURITY_HEADERS
from ragwork_testkit.database import PostgresServer
from serving import Served, route, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")
MARK = b"Zq7xMark"
GET = b"GET /v1/things HTTP/1.1\r\n"
KEY = b"Authorization: Bearer t1.ann.reader\r\n"
POST = b"POST /v1/things HTTP/1.1\r\nHost: h\r\n" + KEY + b"Content-Type: application/json\r\n"
END = b"Connection: close\r\n\r\n"

#: What is sent, and the statuses that say so.
MALFORMED: dict[str, tuple[bytes, set[int]]] = {
    "no request line": (MARK + b"\r\n\r\n", {400}),
    "two words": (b"GET /" + MARK + b"\r\n\r\n", {400}),
    "no host": (GET + END, {400}),
    "two hosts": (GET + b"Host: a\r\nHost: " + MARK + b"\r\n" + END, {400}),
    "unknown method": (MARK + b" / HTTP/1.1\r\nHost: h\r\n" + END, {400, 405, 501}),
    "lower-case method": (b"get / HTTP/1.1\r\nHost: h\r\n" + END, {400, 405, 501}),
    "old protocol": (b"GET /" + MARK + b" HTTP/0.9\r\nHost: h\r\n" + END, {400, 505}),
    "new protocol": (b"GET / HTTP/3.0\r\nHost: h\r\n" + END, {400, 505}),
    "other protocol": (b"GET / " + MARK + b"/1.1\r\nHost: h\r\n" + END, {400, 505}),
    "http/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", {400, 405, 505}),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)), {400}),
    "ssh": (b"SSH-2.0-" + MARK + b"\r\n", {400}),
    "long target": (b"GET /" + MARK * 2000 + b" HTTP/1.1\r\nHost: h\r\n" + END, {414}),
    "long query": (b"GET /v1/things?" + MARK * 9000 + b" HTTP/1.1\r\nHost: h\r\n" + END, {414}),
    "long header": (GET + b"Host: h\r\nCookie: a=" + MARK * 1200 + b"\r\n" + END, {431}),
    "long path in a header": (GET + b"Host: h\r\nReferer: /" + MARK * 1200 + b"\r\n" + END, {431}),
    "very long header": (GET + b"Host: h\r\nCookie: a=" + MARK * 40_000 + b"\r\n" + END, {431}),
    "long name": (GET + b"Host: h\r\n" + MARK * 1200 + b": a\r\n" + END, {431}),
    "many headers": (GET + b"Host: h\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(300)) + END, {431}),
    "header without colon": (GET + b"Host: h\r\n" + MARK + b"\r\n" + END, {400}),
    "space before colon": (GET + b"Host: h\r\n" + MARK + b" : a\r\n" + END, {400}),
    "nul in a header": (GET + b"Host: h\r\nX: " + MARK + b"\0\r\n" + END, {400}),
    "folded header": (GET + b"Host: h\r\nX: a\r\n " + MARK + b"\r\n" + END, {400}),
    "control in the target": (b"GET /\x01" + MARK + b" HTTP/1.1\r\nHost: h\r\n" + END, {400}),
    "bare carriage return": (GET + b"Host: h\rX: " + MARK + b"\r\n" + END, {400}),
    "broken authority": (b"GET http://[::1/" + MARK + b" HTTP/1.1\r\nHost: h\r\n" + END, {400, 404}),
    "broken port": (b"GET http://h:" + MARK + b"/ HTTP/1.1\r\nHost: h\r\n" + END, {400, 404}),
    "star": (b"OPTIONS * HTTP/1.1\r\nHost: h\r\n" + END, {400, 404, 405}),
    "proxying": (b"CONNECT " + MARK + b":443 HTTP/1.1\r\nHost: h\r\n" + END, {400, 404, 405}),
    "trace": (b"TRACE /v1/things HTTP/1.1\r\nHost: h\r\nX: " + MARK + b"\r\n" + END, {405}),
    "length is no number": (POST + b"Content-Length: " + MARK + b"\r\n" + END, {400}),
    "length is negative": (POST + b"Content-Length: -1\r\n" + END, {400}),
    "two lengths": (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n" + END + b"{}", {400}),
    "length and chunks": (
        POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n" + END + b"0\r\n\r\n",
        {400},
    ),
    "unknown coding": (POST + b"Transfer-Encoding: " + MARK + b"\r\n" + END, {400, 501}),
    "chunked is not last": (POST + b"Transfer-Encoding: chunked, gzip\r\n" + END + b"0\r\n\r\n", {400, 501}),
    "chunk size is no number": (POST + b"Transfer-Encoding: chunked\r\n" + END + MARK + b"\r\n{}\r\n", {400}),
    "chunk is too long": (
        POST + b"Transfer-Encoding: chunked\r\n" + END + b"2\r\n{}" + MARK + b"\r\n",
        {400},
    ),
    "huge chunk": (POST + b"Transfer-Encoding: chunked\r\n" + END + b"F" * 40 + b"\r\n{}\r\n", {400}),
    "body is not gzip": (POST + b"Content-Encoding: gzip\r\nContent-Length: 8\r\n" + END + MARK, {400}),
    "expects too much": (POST + b"Expect: " + MARK + b"\r\nContent-Length: 2\r\n" + END + b"{}", {417}),
    "expects on no path": (b"GET /nowhere HTTP/1.1\r\nHost: h\r\nExpect: " + MARK + b"\r\n" + END, {417}),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(postgres: PostgresServer) -> AsyncIterator[Served]:
    async def taken(call: Any) -> object:
        return {"body": call.body}

    async with postgres.database([migrations.KERNEL]) as fresh:
        listed = route(taken)
        posted = route(taken, name="things.post", method="POST", body=dict, body_kind="json")
        async with serving(fresh.app, listed, posted) as running:
            yield running


def answers(raw: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the last answer in ``raw``."""
    start = [found.start() for found in re.finditer(rb"HTTP/1\.[01] \d{3} ", raw)][-1]
    head, _, body = raw[start:].partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_request_is_refused_like_any_other(
    served: Served, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent, statuses = MALFORMED[name]
    with caplog.at_level(logging.INFO):
        raw = await served.raw(sent)
        await asyncio.sleep(0)
    status, headers, body = answers(raw)
    assert status in statuses, raw
    assert SECURITY_HEADERS.items() <= headers.items()
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    refused = json.loads(body)
    assert re.fullmatch("[A-Z_]+", refused["error"]["code"])
    assert refused["meta"]["request_id"] == headers["X-Request-Id"]
    assert MARK not in raw
    assert not re.search(rb"aiohttp|python|llhttp|expected", raw, re.IGNORECASE)
    lines = [record for record in caplog.records if record.levelno >= logging.INFO]
    assert len(lines) == 1, lines
    assert lines[0].exc_info is None
    assert MARK.decode() not in repr(vars(lines[0]))


async def test_an_upgrade_that_is_not_offered_is_answered_as_the_request_it_is(served: Served) -> None:
    for protocol in (
        b"websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\nSec-WebSocket-Version: 13",
        b"h2c",
    ):
        sent = (
            GET
            + b"Host: h\r\nAuthorization: Bearer t1.ann.reader\r\nConnection: Upgrade\r\nUpgrade: "
            + protocol
        )
        status, headers, _ = answers(await served.raw(sent + b"\r\n\r\n", 1))
        assert (status, headers["Server"]) == (200, "ragwork")


async def test_a_body_is_asked_for_only_when_it_will_be_read(served: Served) -> None:
    head = b"Content-Length: 2\r\nExpect: 100-continue\r\n" + END
    asked = await served.raw(POST + head, 0.5)
    assert asked == b"HTTP/1.1 100 Continue\r\n\r\n"
    refused = await served.raw(POST.replace(b"t1.ann", b"nobody") + head, 2)
    assert refused.startswith(b"HTTP/1.1 401")
    whole = await served.raw(POST + head + b"{}", 2)
    assert (answers(whole)[0], json.loads(answers(whole)[2])["data"]) == (200, {"body": {}})


async def test_other_forms_of_a_target_are_understood(served: Served) -> None:
    for target in (b"http://other.example/v1/things", b"/v1/things?", b"/v1/things#a"):
        sent = b"GET " + target + b" HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer t1.ann.reader\r\n" + END
        assert answers(await served.raw(sent))[0] == 200, target


@pytest.mark.parametrize("size", [100, 100_000, 3_000_000])
async def test_a_client_that_still_sends_reads_its_refusal(served: Served, size: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(GET + b"Host: h\r\nBad header\r\n" + b"x" * size)
    head = await asyncio.wait_for(reader.readline(), 5)
    assert head.endswith(b" 400 Bad Request\r\n")
    writer.close()


async def test_a_failure_outside_of_a_handler_tells_nothing(
    served: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("inner secret")

    monkeypatch.setattr(served.pipeline, "_open", broken)
    status, headers, body = answers(await served.raw(GET + b"Host: h\r\n" + END))
    assert (status, headers["Server"], json.loads(body)["error"]["code"]) == (
        500,
        "ragwork",
        "INTERNAL_ERROR",
    )
    assert b"secret" not in body
    assert any("inner secret" in str(record.exc_info) for record in caplog.records)
