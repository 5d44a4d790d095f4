"""Chat streams as services really send them: what came of the text is kept, whatever stands around it."""

import contextlib
import itertools
import json

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.llm import Usage
from ragwork_openai.errors import codes_of
from ragwork_openai.pieces import piece_of
from ragwork_testkit.llm import collect, request, text_of
from ragwork_testkit.local_server import served
from ragwork_toolkit.vendor.event_stream import MAX_LINE_BYTES, objects

CODES = codes_of("LLM", "OPENAI_API_KEY")
TEXT = "The pump runs at 100 bar."


def event(**more):
    return f"data: {json.dumps(more)}\n\n"


def said(text=TEXT, **more):
    return event(id="x", choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None, **more}])


def ended(reason="stop"):
    return event(choices=[{"index": 0, "delta": {}, "finish_reason": reason}])


DONE = "data: [DONE]\n\n"
END = ended() + DONE
COUNTED = event(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 3})

#: Stream → why the answer says that it ended.
STREAMS = {
    "as it should be": (said() + END, None),
    "choices null": (event(choices=None) + said() + END, None),
    "choices missing": (event(id="x") + said() + END, None),
    "choices of another type": (
        event(choices={"0": 1}) + event(choices=[None, 7, "x", []]) + said() + END,
        None,
    ),
    "delta null": (said() + event(choices=[{"delta": None, "finish_reason": "stop"}]) + DONE, None),
    "delta missing": (event(choices=[{"index": 0}]) + said() + END, None),
    "content null": (event(choices=[{"delta": {"content": None}}]) + said() + END, None),
    "content of another type": (event(choices=[{"delta": {"content": 7}}]) + said() + END, None),
    "content in parts": (
        event(choices=[{"delta": {"content": [{"type": "text", "text": TEXT}, {"text": None}, 7]}}]) + END,
        None,
    ),
    "usage with null": (
        said() + ended() + event(choices=[], usage={"prompt_tokens": None, "completion_tokens": 3}) + DONE,
        None,
    ),
    "usage of other types": (said() + event(usage=[1]) + event(usage={"prompt_tokens": "7"}) + END, None),
    "usage below zero": (said() + event(usage={"prompt_tokens": -1, "completion_tokens": True}) + END, None),
    "data that is no object": ("data: 7\n\ndata: null\n\ndata: []\n\n" + said() + END, None),
    "data that is no JSON": ("data: {broken\n\n" + said() + END, None),
    "empty data": ("data:\n\ndata: \n\n" + said() + END, None),
    "comments and other fields": (
        ": ping\n\nevent: message\nid: 7\nretry: 5\n" + said() + ":\n\n" + END,
        None,
    ),
    "no space after data:": ((said() + END).replace("data: ", "data:"), None),
    "CRLF": ((said() + END).replace("\n", "\r\n"), None),
    "CR": ((said() + END).replace("\n", "\r"), None),
    "a byte order mark": ("\ufeff" + said() + END, None),
    "data over two lines": (
        'data: {"choices": [{"delta":\ndata: {"content": ' + json.dumps(TEXT) + "}}]}\n\n" + END,
        None,
    ),
    "half a surrogate pair": (said(TEXT[:5]) + said(TEXT[5:]) + said("") + END, None),
    "without [DONE]": (said() + ended(), None),
    "without the last empty line": ((said() + END).rstrip("\n"), None),
    "more after [DONE]": (said() + END + said("more"), None),
    "an error after its end": (said() + ended() + event(error={"message": "late"}) + DONE, None),
    "without any end": (said(), "incomplete"),
    "cut in the last piece": (said() + 'data: {"choices": [{"del', "incomplete"),
    "as long as it may be": (said() + ended("length") + DONE, "length"),
    "held back": (said() + ended("content_filter") + DONE, "content_filter"),
    "a reason that nobody knows": (said() + ended("tired") + DONE, None),
    "a reason of another type": (said() + event(choices=[{"finish_reason": 7}]) + END, None),
}


@pytest.fixture
async def answering():
    """Gives the address of a service whose chat answers with these bytes, in pieces of ``size``."""
    stack = contextlib.AsyncExitStack()

    async def serve(body, size=1_000_000):
        async def chat(asked):
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(asked)
            for start in range(0, len(body), size):
                await response.write(body[start : start + size])
            return response

        app = web.Application()
        app.router.add_post("/v1/chat/completions", chat)
        return await stack.enter_async_context(served(app)) + "/v1"

    async with stack:
        yield serve


@pytest.fixture
async def model_at():
    from ragwork_hooks.providers import ProviderContext
    from ragwork_openai import chat
    from ragwork_openai.config import OpenAIConfig

    made = []

    async def open_at(url):
        config = OpenAIConfig(api_key="k", base_url=url, timeout_s=5)
        made.append(await chat.provider.open(ProviderContext(services=None, config=config)))
        return made[-1]

    yield open_at
    for each in made:
        await each.aclose()


@pytest.mark.parametrize(("stream", "reason"), STREAMS.values(), ids=STREAMS)
async def test_the_text_is_kept_and_its_end_is_told(answering, model_at, stream, reason):
    model = await model_at(await answering(stream.encode("utf-8", "surrogatepass")))
    deltas = await collect(model, request("How fast?"))
    assert text_of(deltas) == TEXT
    assert [delta.usage is not None for delta in deltas] == [False] * (len(deltas) - 1) + [True]
    assert deltas[-1].finish_reason == reason


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_events_may_be_split_anywhere(answering, model_at, size):
    stream = "\ufeff" + (said("Schön - ") + said("\U0001f469\u200d\U0001f4bb") + COUNTED + END).replace(
        "\n", "\r\n"
    )
    model = await model_at(await answering(stream.encode(), size))
    deltas = await collect(model, request("How fast?"))
    assert text_of(deltas) == "Schön - \U0001f469\u200d\U0001f4bb"
    assert deltas[-1].usage == Usage(input_tokens=7, output_tokens=3)


@pytest.mark.parametrize(
    "stream",
    [
        "",
        DONE[:5],
        event(error={"message": "overloaded"}),
        event(choices=None),
        "data: {broken\n\n",
        "<html>no</html>",
    ],
)
async def test_a_stream_without_an_answer_is_unavailable(answering, model_at, stream):
    model = await model_at(await answering(stream.encode()))
    with pytest.raises(ProviderError) as caught:
        await collect(model, request("How fast?"))
    assert (caught.value.code, caught.value.retryable) == ("INTEGRATION_UNAVAILABLE", True)


async def arriving(pieces):
    for piece in pieces:
        yield piece


async def read(pieces):
    return [
        piece_of(found) for found in [o async for o in objects(arriving(pieces), CODES)] if found is not None
    ]


VALID = (said("one ") + ": ping\n\n" + said("two") + COUNTED + END).encode()
JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5) | st.just("choices"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "delta", "content", "usage", "error", "finish_reason"]), inner
        )
    ),
    max_leaves=8,
)


@given(cuts=st.lists(st.integers(0, len(VALID)), max_size=12), ends=st.sampled_from([b"\n", b"\r\n", b"\r"]))
async def test_where_a_valid_stream_is_cut_does_not_matter(cuts, ends):
    data = VALID.replace(b"\n", ends)
    places = [0, *sorted(cut * len(data) // len(VALID) for cut in cuts), len(data)]
    pieces = await read([data[a:b] for a, b in itertools.pairwise(places)])
    assert "".join(piece.text for piece in pieces) == "one two"
    assert [piece.usage for piece in pieces if piece.usage] == [Usage(input_tokens=7, output_tokens=3)]


@given(wild=st.dictionaries(st.sampled_from(["choices", "usage", "error", "id"]), JSONISH))
async def test_no_object_is_too_wild_to_be_read_around(wild):
    between = f"data: {json.dumps(wild)}\n\n".encode("utf-8", "surrogatepass")
    pieces = await read([said("one").encode(), between, said("two").encode()])
    assert (pieces[0].text, pieces[-1].text) == ("one", "two")
    "".join(piece.text for piece in pieces).encode()


@given(noise=st.binary(max_size=40), at=st.integers(0, len(VALID)))
async def test_no_bytes_are_too_wild(noise, at):
    for piece in await read([VALID[:at] + noise + VALID[at:]]):
        piece.text.encode()


async def test_a_line_without_an_end_is_not_read_to_its_end():
    endless = arriving([b"data: "] + [b"x" * 65_536] * (MAX_LINE_BYTES // 65_536 + 1))
    with pytest.raises(ProviderError, match="without an end"):
        await anext(objects(endless, CODES))
