"""A recording replays byte for byte, answers nothing else, and holds no secret."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from ragwork_testkit.cassette import UnknownRequest
from ragwork_testkit.local_server import hang_up, served
from ragwork_testkit.recording import recording, replaying
from ragwork_testkit.scrubbing import Scrubber

CANARY = "canary/0+9 key\u00e9"


class Upstream:
    """A service that repeats what it is told, credentials included."""

    def __init__(self) -> None:
        self.base_url = ""
        self.served = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.served += 1
        match request.path:
            case "/v1/stream":
                return await self._stream(request)
            case "/v1/cut":
                return await self._cut(request)
            case "/v1/token":
                return web.json_response({"access_token": "ya29.secret-token", "expires_in": 3600})
            case "/v1/busy":
                return web.Response(status=429, headers={"Retry-After": "7", "Set-Cookie": "s=cookie-value"})
        said = {"count": self.served, "headers": dict(request.headers), "query": request.query_string}
        return web.json_response({**said, "body": (await request.read()).decode(errors="replace")})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        await response.prepare(request)
        halves = CANARY.encode()[:6], CANARY.encode()[6:]
        for piece in (
            b"one ",
            b"\xff\x00 two ",
            halves[0],
            halves[1],
            "\u20ac".encode()[:1],
            b"\x82\xac end",
        ):
            await response.write(piece)
        return response

    async def _cut(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half of ")
        await asyncio.sleep(0.01)
        hang_up(request)
        return response


@pytest.fixture
async def upstream() -> Any:
    service = Upstream()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", service.handle)
    async with served(app) as address:
        service.base_url = f"{address}/v1"
        yield service


@pytest.fixture
async def session() -> Any:
    async with aiohttp.ClientSession() as made:
        yield made


async def chunks(session: aiohttp.ClientSession, url: str) -> list[bytes]:
    whole, found = b"", []
    async with session.get(url) as response:
        async for data, is_end in response.content.iter_chunks():
            whole += data
            if is_end:
                found.append(whole)
                whole = b""
    return found


async def post(session: aiohttp.ClientSession, url: str, body: Any, **more: Any) -> Any:
    async with session.post(url, json=body, **more) as response:
        return await response.json()


async def test_a_stream_is_replayed_in_its_chunks(
    upstream: Upstream, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    tape = tmp_path / "tape.jsonl"
    async with recording(tape, upstream.base_url) as base_url:
        heard = await chunks(session, f"{base_url}/stream")
    assert len(heard) == 6
    async with replaying(tape) as replay:
        assert await chunks(session, f"{replay.base_url}/stream") == heard
        assert replay.left == 0
    assert upstream.served == 1


async def test_the_same_request_is_answered_in_the_recorded_order_and_no_more_often(
    upstream: Upstream, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    tape = tmp_path / "tape.jsonl"
    asked = [{"q": 1}, {"q": 2}, {"q": 1}]
    async with recording(tape, upstream.base_url) as base_url:
        heard = [(await post(session, f"{base_url}/ask?n=1", body))["count"] for body in asked]
    assert heard == [1, 2, 3]

    async def replay_them() -> None:
        async with replaying(tape) as replay:
            url = f"{replay.base_url}/ask?n=1"
            assert [(await post(session, url, {"q": n}))["count"] for n in (1, 1, 2)] == [1, 3, 2]
            async with session.post(url, json={"q": 1}) as response:
                assert response.status == 400

    with pytest.raises(UnknownRequest, match="fewer times"):
        await replay_them()


@pytest.mark.parametrize(
    ("path", "body"), [("/ask", {"question": "when do gates open"}), ("/asks", {"question": "when"})]
)
async def test_an_unknown_request_fails_the_test_and_names_the_nearest(
    upstream: Upstream, session: aiohttp.ClientSession, tmp_path: Path, path: str, body: Any
) -> None:
    tape = tmp_path / "tape.jsonl"
    async with recording(tape, upstream.base_url) as base_url:
        await post(session, f"{base_url}/far", {"text": "nothing alike at all"})
        await post(session, f"{base_url}/ask", {"question": "when"})
    with pytest.raises(UnknownRequest, match="nearest is number 1: POST /ask") as caught:
        async with replaying(tape) as replay, session.post(f"{replay.base_url}{path}", json=body):
            raise ZeroDivisionError  # what the provider makes of it hides nothing
    assert f"+{'POST /asks' if path == '/asks' else json.dumps(body)}" in str(caught.value)


async def test_an_answer_that_was_cut_is_cut_again(
    upstream: Upstream, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    tape = tmp_path / "tape.jsonl"
    async with recording(tape, upstream.base_url) as base_url:
        with pytest.raises(aiohttp.ClientError):
            await chunks(session, f"{base_url}/cut")
    async with recording(tmp_path / "nobody.jsonl", "http://127.0.0.1:9") as base_url:
        with pytest.raises(aiohttp.ClientError):
            await chunks(session, f"{base_url}/cut")
    for each in (tape, tmp_path / "nobody.jsonl"):
        async with replaying(each) as replay:
            with pytest.raises(aiohttp.ClientError):
                await chunks(session, f"{replay.base_url}/cut")


async def test_status_and_advice_are_replayed_and_cookies_are_not_kept(
    upstream: Upstream, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    tape = tmp_path / "tape.jsonl"
    async with recording(tape, upstream.base_url) as base_url:
        async with session.get(f"{base_url}/busy") as first:
            assert "Set-Cookie" in first.headers
    assert "cookie-value" not in tape.read_text()
    async with replaying(tape) as replay, session.get(f"{replay.base_url}/busy") as again:
        assert (again.status, again.headers["Retry-After"]) == (429, "7")


def on_disk(tape: Path) -> str:
    """All that a cassette says, what is encoded there included."""
    texts = [tape.read_text()]
    for row in map(json.loads, texts[0].splitlines()):
        pieces = [row["body"], *row["chunks"]]
        bodies = [p.encode() if isinstance(p, str) else base64.b64decode(p["base64"]) for p in pieces]
        texts.append(b"".join(bodies).decode(errors="replace"))
    return "\n".join(texts)


@pytest.mark.parametrize(
    "more",
    [
        {"headers": {"Authorization": "Bearer canary-bearer"}},
        {"headers": {"Authorization": "Basic Y2FuYXJ5OmNhbmFyeQ=="}},
        {"headers": {"x-goog-api-key": "canary-goog"}},
        {"headers": {"api-key": "canary-azure"}},
        {"headers": {"X-Amz-Security-Token": "canary-session", "X-Amz-Date": "20260101T000000Z"}},
        {"headers": {"Authorization": "AWS4-HMAC-SHA256 Credential=canaryid/20260101/r/s/aws4_request, "
                     "SignedHeaders=host, Signature=0123456789abcdef"}},
        {"headers": {"Cookie": "session=canary-cookie"}},
        {"params": {"key": "canary-query", "other": "stays"}},
        {"params": {"X-Amz-Credential": "canary/2026", "X-Amz-Signature": "canary01"}},
        {"json": {"client_secret": "canary \\\" quoted", "other": "stays"}},
        {"json": {"text": f"I was told {CANARY} in confidence"}},
        {"params": {"q": CANARY}},
        {"data": {"assertion": "canary.jwt.x", "grant_type": "stays"}},
        {"data": CANARY.encode()},
    ],
)  # fmt: skip
async def test_no_secret_of_a_request_reaches_the_disk(
    upstream: Upstream, session: aiohttp.ClientSession, tmp_path: Path, more: Any
) -> None:
    tape = tmp_path / "tape.jsonl"
    async with recording(tape, upstream.base_url, secrets=[CANARY]) as base_url:
        for _ in range(2):
            async with session.post(f"{base_url}/ask", **more) as response:
                said = await response.text()
    assert "canary" in said or "Y2FuYXJ5" in said, "the service did not hear it"
    written = on_disk(tape)
    assert len(tape.read_text().splitlines()) == 2
    for trace in ("canary", "Y2FuYXJ5", "0123456789abcdef"):
        assert trace not in written
    assert ("stays" in str(more)) == ("stays" in written)
    async with replaying(tape, secrets=[CANARY]) as replay:
        async with session.post(f"{replay.base_url}/ask", **more) as response:
            assert len(await response.text()) > 0


async def test_a_secret_that_an_answer_brings_does_not_reach_the_disk_even_in_two_pieces(
    upstream: Upstream, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    tape = tmp_path / "tape.jsonl"
    async with recording(tape, upstream.base_url, secrets=[CANARY]) as base_url:
        heard = await chunks(session, f"{base_url}/stream")
        token = (await post(session, f"{base_url}/token", {}))["access_token"]
        await post(session, f"{base_url}/ask", {"t": token}, headers={"Authorization": f"Bearer {token}"})
    written = on_disk(tape)
    assert token not in written
    assert CANARY not in written
    assert CANARY[:6] not in written
    async with replaying(tape, secrets=[CANARY]) as replay:
        again = await chunks(session, f"{replay.base_url}/stream")
        assert [len(chunk) for chunk in again] == [len(chunk) for chunk in heard]


async def test_another_runs_secret_finds_the_same_exchange(
    upstream: Upstream, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    tape = tmp_path / "tape.jsonl"
    async with recording(tape, upstream.base_url) as base_url:
        async with session.post(f"{base_url}/token", data={"assertion": "first.jwt.a", "g": "x"}) as response:
            first = await response.json()
    async with replaying(tape) as replay:
        form = {"assertion": "another.and.longer.jwt", "g": "x"}
        async with session.post(f"{replay.base_url}/token", data=form) as response:
            assert (await response.json()).keys() == first.keys()


async def test_a_form_of_several_parts_is_known_again(
    upstream: Upstream, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    def form(text: str) -> aiohttp.FormData:
        made = aiohttp.FormData({"model": "m"})
        made.add_field("file", text.encode(), filename="a.wav")
        return made

    tape = tmp_path / "tape.jsonl"
    async with recording(tape, upstream.base_url) as base_url:
        async with session.post(f"{base_url}/ask", data=form("sound")) as response:
            heard = await response.read()

    async def replay_then(text: str) -> None:
        async with replaying(tape) as replay:
            async with session.post(f"{replay.base_url}/ask", data=form(text)) as response:
                assert len(await response.read()) == len(heard)

    await replay_then("sound")
    with pytest.raises(UnknownRequest):
        await replay_then("noise")


def test_a_damaged_cassette_names_the_line(tmp_path: Path) -> None:
    tape = tmp_path / "tape.jsonl"
    tape.write_text("{}\n")

    async def play() -> None:
        async with replaying(tape):
            pass

    with pytest.raises(ValueError, match="line 1 is no exchange"):
        asyncio.run(play())


def test_ordinary_members_stay() -> None:
    body = json.dumps({"filter": {"equals": {"key": "lang", "value": "en"}}, "nextToken": "abcdef"}).encode()
    assert Scrubber().request(body) == body
    with pytest.raises(ValueError, match="empty"):
        Scrubber([""])
