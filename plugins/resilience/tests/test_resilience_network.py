"""The OpenAI plugin over a bad network, guarded: each fault has a typed outcome in bounded time."""

import asyncio
import time

import attrs
import pytest
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.llm import ChatRequest, Message
from ragwork_hooks.providers import ProviderContext
from ragwork_openai import chat, embedding
from ragwork_openai.config import OpenAIConfig
from ragwork_testkit import openai_server, tcpproxy

#: A network that keeps silent does so for ever; a busy machine may stand still for a second or two.
FOR_EVER_S = 10.0
ASK = ChatRequest(
    messages=(Message(role="system", content="."), Message(role="user", content="a b c d e f g h")),
    passages=(),
    question="?",
)


@pytest.fixture
async def far(world):
    """The server, the network before it, and guarded providers behind that network."""
    async with openai_server.serving() as server, tcpproxy.between(server.base_url) as net:
        w = world(ext_timeout_ms=300, budget_s=1.5, cb_open_s=0.3, cb_trials=1)
        config = OpenAIConfig(api_key=openai_server.KEY, base_url=net.url, embedding_dimensions=8)
        context = ProviderContext(services=None, config=config)
        w.server, w.net = server, net
        model, embedder = await chat.provider.open(context), await embedding.provider.open(context)
        w.model = w.wrapping.chat_model("openai", model)
        w.vectors = w.wrapping.embedder("openai", embedder)
        yield w
        await model.aclose()
        await embedder.aclose()


async def embed(w):
    began = time.monotonic()
    try:
        outcome = len((await w.vectors.embed(["x"], "query"))[0])
    except ProviderError as error:
        outcome = error.code
    return outcome, time.monotonic() - began


async def answer(w):
    began, heard = time.monotonic(), []
    try:
        async for delta in w.model.stream(ASK):
            heard.append(delta.text)  # noqa: PERF401  # what came before an error counts
    except ProviderError as error:
        heard.append(error.code)
    return heard, time.monotonic() - began


async def idle(w):
    await asyncio.sleep(0.05)
    assert (w.model.inner.guard.under_way, w.vectors.guard.under_way) == (0, 0)


async def test_a_good_network_is_not_noticed(far):
    assert (await embed(far))[0] == 8
    assert "".join((await answer(far))[0]).endswith("g h")
    await idle(far)


@pytest.mark.parametrize("mode", ["reset", "half_open", "blackhole"])
async def test_a_broken_network_costs_bounded_time_then_nothing_then_is_forgiven(far, mode):
    far.net.mode = mode
    for _ in range(3):
        outcome, seconds = await embed(far)
        assert outcome == "INTEGRATION_UNAVAILABLE"
        assert seconds < FOR_EVER_S
    assert far.count("cb_open_total", "openai") == 1
    accepted = far.net.accepted
    outcome, _seconds = await embed(far)
    assert (outcome, far.net.accepted) == ("INTEGRATION_UNAVAILABLE", accepted)
    await idle(far)
    far.net.mode = "pass"
    await asyncio.sleep(0.4)
    assert (await embed(far))[0] == 8


async def test_a_slow_network_is_endured_up_to_the_attempts_time(far):
    far.net.latency_s = 0.05
    assert (await embed(far))[0] == 8
    far.net.latency_s = 0.5
    assert (await embed(far))[0] == "INTEGRATION_UNAVAILABLE"
    await idle(far)


async def test_a_reply_too_thin_to_arrive_in_time_is_given_up(far):
    far.net.bytes_per_s = 100
    outcome, seconds = await embed(far)
    assert outcome == "INTEGRATION_UNAVAILABLE"
    assert seconds < FOR_EVER_S
    await idle(far)


async def test_a_server_that_is_slow_to_close_costs_nothing(far):
    far.net.slow_close_s = 5
    assert (await embed(far))[1] < 1
    assert (await answer(far))[1] < 1


async def test_a_stream_cut_in_the_middle_keeps_what_was_said(far):
    far.net.reply_bytes = 900
    heard, _seconds = await answer(far)
    assert heard[-1] == "INTEGRATION_UNAVAILABLE"
    assert len(heard) > 1
    assert len(far.server.requests) == 1
    await idle(far)


async def test_a_stream_cut_before_it_began_is_asked_again(far, kit):
    far.net.reply_bytes = 10
    # More attempts than the test needs to see the first: the second may come before the network is mended.
    far.model.inner.guard.policy = attrs.evolve(far.model.inner.guard.policy, attempts=4, backoff_s=0.05)
    asking = asyncio.create_task(answer(far))
    await kit.until(lambda: far.server.requests)
    far.net.reply_bytes = None
    heard, _seconds = await asking
    assert "".join(heard).endswith("g h")


@pytest.mark.parametrize(
    ("fault", "requests"),
    [
        ({"how": "status", "status": 429, "retry_after": "0"}, 2),
        ({"how": "status", "status": 503}, 2),
        ({"how": "garbage"}, 2),
        ({"how": "truncate"}, 2),
        ({"how": "missing_item"}, 2),
        ({"how": "drop"}, 2),
        ({"how": "stall"}, 2),
    ],
)
async def test_a_passing_fault_is_repeated_away(far, fault, requests):
    far.server.fail(**fault)
    assert (await embed(far))[0] == 8
    assert len(far.server.requests) == requests
    assert far.count("retries_total", "openai") == 1


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"how": "wrong_dimension"}, "EMBEDDING_DIMENSION_MISMATCH"),
        ({"how": "status", "status": 400}, "EMBEDDING_ERROR"),
        ({"how": "status", "status": 403}, "EMBEDDING_AUTH_ERROR"),
        ({"how": "status", "status": 429, "retry_after": "60"}, "INTEGRATION_UNAVAILABLE"),
    ],
)
async def test_what_repeating_cannot_mend_is_told_at_once(far, fault, code):
    far.server.fail(**fault)
    assert (await embed(far))[0] == code
    assert len(far.server.requests) == 1
    assert far.count("retries_total", "openai") == 0


async def test_callers_that_leave_end_their_streams_at_the_server(far, kit):
    far.server.pause_s = 0.05

    async def attempt_permit(after):
        async with asyncio.timeout(after):
            await answer(far)

    await asyncio.gather(*(attempt_permit(0.02 + n * 0.004) for n in range(30)), return_exceptions=True)
    await kit.until(lambda: not far.net.open, within_s=1)
    await idle(far)
