"""Bodies are let in by their declared length, by tenants' shares of one budget, before a byte of them is read."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
from ragwork_hooks import fields
from ragwork_kernel.request import body_memory
from ragwork_testkit.database import FreshDatabase
from serving import Served, route, serving

MIB = 1_048_576
KIB = 1024


@attrs.frozen
class Body:
    text: str = fields.text(max_length=400 * KIB)


async def size_of(call: Any) -> object:
    return {"size": len(call.body.text)}


POST: dict[str, Any] = {
    "method": "POST",
    "body": Body,
    "body_kind": "json",
    "body_limit": 400 * KIB,
    "rate_class": "mutation",
}


@pytest.fixture
async def served(database: FreshDatabase, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    """One tenant may have 512 KiB in memory: one such body."""
    monkeypatch.setattr(body_memory, "WAIT_S", 0.2)
    async with serving(database.app, route(size_of, **POST), body_memory_bytes=MIB) as served:
        yield served


def held(served: Served) -> int:
    (bodies,) = [
        s for s in served.telemetry.read() if s.name == "test_shares_held" and s.labels["name"] == "bodies"
    ]
    return int(bodies.value)


def head(tenant: str, length: str) -> bytes:
    return (
        f"POST /v1/things HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tenant}.ann.editor\r\n"
        f"Content-Type: application/json\r\n{length}\r\n\r\n"
    ).encode()


@contextlib.asynccontextmanager
async def stalled(
    served: Served, tenant: str, length: str = f"Content-Length: {400 * KIB}"
) -> AsyncIterator[None]:
    """A client that announces a body and does not send it."""
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(head(tenant, length))
    try:
        yield
    finally:
        writer.close()


async def until_held(served: Served, number: int) -> None:
    async with asyncio.timeout(3):
        while held(served) != number:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


async def post(served: Served, tenant: str, size: int) -> tuple[int, Any, Any]:
    return await served.call("POST", token=f"{tenant}.ann.editor", json={"text": "x" * size})


async def test_a_body_for_which_there_is_no_room_is_refused_unread_and_another_tenants_is_taken(
    served: Served,
) -> None:
    async with stalled(served, "greedy"):
        await until_held(served, 400 * KIB)
        answer = await served.raw(head("greedy", f"Content-Length: {399 * KIB}"), 2)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b'"SERVICE_BUSY"' in answer
        assert b"\r\nRetry-After: 1\r\n" in answer
        assert b"\r\nConnection: close\r\n" in answer
        status, data, _ = await post(served, "modest", 390 * KIB)
        assert status == 200, data
        assert data["data"] == {"size": 390 * KIB}
        small, _, _ = await post(served, "greedy", 10 * KIB)
        assert small == 200
    await until_held(served, 0)


@pytest.mark.parametrize(
    "length", ["Transfer-Encoding: chunked", "Content-Length: 80000\r\nContent-Encoding: gzip"]
)
async def test_a_body_of_unknown_size_is_given_room_for_the_largest(served: Served, length: str) -> None:
    async with stalled(served, "t1", length):
        await until_held(served, 400 * KIB)
    await until_held(served, 0)


async def test_room_comes_back_however_the_request_ends(served: Served) -> None:
    for body in ({"text": "x" * 100 * KIB}, {"text": ["x" * 100 * KIB]}, {"wrong": "x" * 300 * KIB}):
        for tenant in ("t1", "t2"):
            await served.call("POST", token=f"{tenant}.ann.editor", json=body)
    status, _, _ = await served.call("POST", token="t1.ann.editor", data=b"x" * 500 * KIB)
    assert status == 413
    assert held(served) == 0
