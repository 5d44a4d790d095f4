"""What every chat model does that streams from a vendor's service. Subclass ``RemoteChatTests`` in a test module that
has the fixtures ``model``, and ``server``, the local server that speaks the service's protocol.
"""

import asyncio
import gc
import math
from collections.abc import Callable
from typing import Any

import pytest
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.llm import ChatModel, ChatRequest, Message

from ragwork_testkit.llm import collect, passages, request, text_of

#: What services refuse and an agent may send: an answer without its question, an answer of a space, a system message
#: amid the others, and an unpaired surrogate.
ODD_CONVERSATION = ChatRequest(
    messages=(
        Message(role="system", content="Rules."),
        Message(role="assistant", content="an answer whose question is gone"),
        Message(role="user", content="One?"),
        Message(role="assistant", content=" "),
        Message(role="user", content="Two?"),
        Message(role="system", content="<passage n=1>"),
        Message(role="assistant", content="Three."),
        Message(role="user", content="broken \ud83d"),
    ),
    passages=(),
    question="x",
    max_output_tokens=30,
)


async def until(condition: Callable[[], bool], within_s: float = 1.0) -> bool:
    """Whether ``condition`` came to hold within ``within_s`` seconds."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True


async def broken_after_two_pieces(model: ChatModel) -> ProviderError:
    """What a stream raises that breaks after its first two pieces, which are told."""
    stream = model.stream(request("How often?"))
    assert [(await anext(stream)).text, (await anext(stream)).text] == ["You", " asked:"]
    with pytest.raises(ProviderError) as caught:
        await anext(stream)
    return caught.value


class RemoteChatTests:
    """``server.pause_s`` is waited before each piece; ``server.abandoned`` counts requests whose client left."""

    async def test_a_mark_that_arrives_in_pieces_is_cited_once(self, model: ChatModel) -> None:
        deltas = await collect(model, request("How often?", passages(2)))
        assert text_of(deltas).endswith(" [1]")
        assert [cite.passage for delta in deltas for cite in delta.cites] == [1]

    async def test_usage_is_estimated_when_the_service_does_not_count(
        self, model: ChatModel, server: Any
    ) -> None:
        server.fail("no_usage")
        deltas = await collect(model, request("How often?"))
        usage = deltas[-1].usage
        assert usage is not None
        assert usage.estimated
        assert usage.output_tokens == math.ceil(len(text_of(deltas)) / 4)

    async def test_closing_a_stream_hangs_up_on_the_service_without_the_collector(
        self, model: ChatModel, server: Any
    ) -> None:
        server.pause_s = 0.05
        gc.disable()
        try:
            stream = model.stream(request("word " * 500))
            await anext(stream)
            await stream.aclose()
            assert await until(lambda: server.abandoned == 1)
        finally:
            gc.enable()

    @pytest.mark.parametrize("before_s", [5.0, 0.02], ids=["before the first piece", "between pieces"])
    async def test_cancelling_the_reader_hangs_up_on_the_service(
        self, model: ChatModel, server: Any, before_s: float
    ) -> None:
        server.pause_s = before_s
        task = asyncio.create_task(collect(model, request("word " * 500)))
        assert await until(lambda: bool(server.requests), within_s=3.0)
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await until(lambda: server.abandoned == 1)
