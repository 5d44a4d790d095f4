"""What a request costs in Python: how many functions are called for it, which no other process can change.

The numbers are those of the default assembly with some 5 % of room. Who is over it finds with cProfile where the calls
are; who is under it by more than the room takes the number down.
"""

import asyncio
import http.client
import json
import sys
import sysconfig
from collections.abc import AsyncIterator, Callable
from types import FrameType
from urllib.parse import urlsplit

import pytest_asyncio
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import Running, running

from ragwork import DEFAULT_PLUGINS

SETTINGS = {"RATE_LIMIT_ENABLED": "false", "PLAN_DEFAULT": "enterprise"}
#: Calls of Python functions, coroutines that go on included.
MOST_OF_A_LIST = 510
MOST_OF_A_RUN = 3050
#: Which event loop runs, and how it does, is not ours.
_LOOP = tuple(
    f"{sysconfig.get_path('stdlib')}/{name}" for name in ("asyncio", "selectors", "concurrent", "threading")
)
_ROUNDS = 25


@pytest_asyncio.fixture
async def app(postgres: PostgresServer) -> AsyncIterator[Running]:
    async with running(postgres, DEFAULT_PLUGINS, SETTINGS) as started:
        yield started


async def fewest_calls(request: Callable[[int], object]) -> int:
    """Of several rounds: what tickers do beside a request only ever adds. The client calls in a thread of its own."""
    counts = []
    for number in range(_ROUNDS):
        calls = 0

        def called(frame: FrameType, event: str, _argument: object) -> None:
            nonlocal calls
            calls += event == "call" and not frame.f_code.co_filename.startswith(_LOOP)

        answered = asyncio.create_task(asyncio.to_thread(request, number))
        sys.setprofile(called)
        try:
            await answered
            await asyncio.sleep(0.03)
        finally:
            sys.setprofile(None)
        counts.append(calls)
    return min(counts)


async def test_a_list_and_a_run_call_no_more_functions_than_they_did(
    app: Running, record_property: Callable[[str, object], None]
) -> None:
    key = await app.key()
    await app.call("POST", "/v1/corpora", key, json={"id": "c1", "name": "One", "provider_config_json": {}})
    document = {"document_id": "d1", "corpus_id": "c1", "text": "The gate is green. Nobody waits."}
    await app.call("POST", "/v1/documents/text", key, json=document)
    await app.ingested(key, "d1")
    connection = http.client.HTTPConnection(urlsplit(app.base).netloc)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def ask(method: str, path: str, body: str | None) -> bytes:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        whole = answer.read()
        assert answer.status == 200, whole
        return whole

    def lists(_number: int) -> None:
        assert b'"c1"' in ask("GET", "/v1/corpora", None)

    def runs(number: int) -> None:
        asked = {"session_id": f"s{number}", "corpus_id": "c1", "message": "Who waits?"}
        assert ask("POST", "/v1/run", json.dumps(asked)).count(b"token.delta") == 40

    listing, running_ = await fewest_calls(lists), await fewest_calls(runs)
    record_property("calls of GET /v1/corpora", listing)
    record_property("calls of POST /v1/run", running_)
    print(f"GET /v1/corpora: {listing} calls, POST /v1/run: {running_}")
    assert listing <= MOST_OF_A_LIST
    assert running_ <= MOST_OF_A_RUN
