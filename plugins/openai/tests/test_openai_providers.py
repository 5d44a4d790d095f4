"""The OpenAI providers keep the contracts against a server that speaks the wire format."""

import asyncio
import math

import attrs
import pytest
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import ProviderContext
from ragwork_hooks.speech import Audio
from ragwork_openai import chat, embedding, speech, transcription
from ragwork_openai.config import OpenAIConfig
from ragwork_testkit import openai_server
from ragwork_testkit.embedding import EmbedderContract
from ragwork_testkit.llm import ChatModelContract, collect, passages, request
from ragwork_testkit.mp3 import count_frames
from ragwork_testkit.remote_chat import RemoteChatTests, broken_after_two_pieces
from ragwork_testkit.speech import SpeechSynthesizerContract
from ragwork_testkit.wav import silent


@pytest.fixture(autouse=True)
async def server():
    async with openai_server.serving() as running:
        yield running


def context(server, **more):
    settings = {"api_key": openai_server.KEY, "base_url": server.base_url, "timeout_s": 5, **more}
    return ProviderContext(services=None, config=OpenAIConfig(**settings))


async def opened(stack, provider, server, **more):
    made = await provider.open(context(server, **more))
    stack.append(made)
    return made


@pytest.fixture
async def stack():
    made = []
    yield made
    for each in made:
        await each.aclose()


@pytest.fixture
async def model(stack, server):
    return await opened(stack, chat.provider, server)


@pytest.fixture
async def embedder(stack, server):
    return await opened(stack, embedding.provider, server)


@pytest.fixture
async def voice(stack, server):
    return await opened(stack, speech.provider, server)


#: No test waits for longer than this.
QUICK = {"OPENAI_TIMEOUT_S": "5"}


class TestOpenAIChatContract(ChatModelContract):
    settings = QUICK
    counts_usage = True

    @pytest.fixture(autouse=True)
    def _server(self, server):
        self.server = server

    async def make(self):
        return await chat.provider.open(context(self.server))


class TestOpenAIEmbedderContract(EmbedderContract):
    settings = QUICK

    @pytest.fixture(autouse=True)
    def _server(self, server):
        self.server = server

    async def make(self):
        return await embedding.provider.open(context(self.server))


class TestOpenAIVoiceContract(SpeechSynthesizerContract):
    settings = QUICK

    @pytest.fixture(autouse=True)
    def _server(self, server):
        self.server = server

    async def make(self):
        return await speech.provider.open(context(self.server))


class TestOpenAIChat(RemoteChatTests):
    """The fixtures above are of this module."""


async def test_chat_sends_the_whole_prompt_and_asks_for_usage(model, server):
    asked = request("How often?", passages(2), limit=30)
    deltas = await collect(model, asked)
    sent = server.requests[0].body
    assert [(m["role"], m["content"]) for m in sent["messages"]] == [
        (m.role, m.content) for m in asked.messages
    ]
    assert sent["stream_options"] == {"include_usage": True}
    assert sent["max_completion_tokens"] == 30
    assert not deltas[-1].usage.estimated
    assert deltas[-1].usage.output_tokens == 7


async def test_a_request_may_name_model_and_temperature_and_says_neither_by_itself(model, server):
    asked = request("How often?")
    await collect(model, asked)
    await collect(model, attrs.evolve(asked, model="big-1", temperature=0.0))
    plain, chosen = (call.body for call in server.requests)
    assert (plain["model"], "temperature" in plain) == ("gpt-4.1-mini", False)
    assert (chosen["model"], chosen["temperature"]) == ("big-1", 0.0)


@pytest.mark.parametrize("how", ["drop", "error_frame"])
async def test_a_broken_stream_keeps_its_pieces_and_raises(model, server, how):
    server.fail(how)
    error = await broken_after_two_pieces(model)
    assert error.code == "INTEGRATION_UNAVAILABLE"


async def test_a_stalled_stream_times_out(stack, server):
    model = await opened(stack, chat.provider, server, timeout_s=0.2)
    server.fail("stall")
    with pytest.raises(ProviderError) as caught:
        await collect(model, request("How often?"))
    assert (caught.value.code, caught.value.retryable) == ("LLM_TIMEOUT", True)


CALLS = {
    "LLM": (chat.provider, lambda made: collect(made, request("How often?"))),
    "EMBEDDING": (embedding.provider, lambda made: made.embed(["a", "b"], "query")),
    "TTS": (speech.provider, lambda made: made.synthesize("Hello there.")),
    "ASR": (transcription.provider, lambda made: made.recognize(Audio(data=silent(1), mime="audio/wav"))),
}
STATUSES = [
    # status, code of the service, Retry-After, expected code, retryable, seconds
    (401, "invalid_api_key", None, "{}_AUTH_ERROR", False, None),
    (403, None, None, "{}_AUTH_ERROR", False, None),
    (400, "context_length_exceeded", None, "{}_ERROR", False, None),
    (404, "model_not_found", None, "{}_ERROR", False, None),
    (429, "rate_limit_exceeded", "7", "INTEGRATION_UNAVAILABLE", True, 7.0),
    (429, "rate_limit_exceeded", "soon", "INTEGRATION_UNAVAILABLE", True, None),
    (429, "rate_limit_exceeded", "Wed, 21 Oct 2015 07:28:00 GMT", "INTEGRATION_UNAVAILABLE", True, 0.0),
    (429, "insufficient_quota", None, "INTEGRATION_UNAVAILABLE", False, None),
    (500, None, None, "INTEGRATION_UNAVAILABLE", True, None),
    (503, None, "2", "INTEGRATION_UNAVAILABLE", True, 2.0),
]


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize(("status", "service_code", "retry_after", "code", "retryable", "seconds"), STATUSES)
async def test_a_status_becomes_a_typed_error_without_a_retry(
    stack, server, kind, status, service_code, retry_after, code, retryable, seconds
):
    provider, call = CALLS[kind]
    made = await opened(stack, provider, server)
    server.fail("status", status=status, code=service_code, retry_after=retry_after)
    with pytest.raises(ProviderError) as caught:
        await call(made)
    error = caught.value
    assert (error.code, error.retryable, error.retry_after_s) == (code.format(kind), retryable, seconds)
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", CALLS)
async def test_a_wrong_key_is_an_auth_error_that_does_not_repeat_it(stack, server, kind):
    provider, call = CALLS[kind]
    made = await opened(stack, provider, server, api_key="sk-wrong")
    with pytest.raises(ProviderError) as caught:
        await call(made)
    assert caught.value.code == f"{kind}_AUTH_ERROR"
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize("kind", CALLS)
async def test_without_a_key_nothing_opens(server, kind):
    with pytest.raises(ProviderError) as caught:
        await CALLS[kind][0].open(context(server, api_key=None))
    assert caught.value.code == f"{kind}_CONFIG_MISSING"
    assert not server.requests


@pytest.mark.parametrize("kind", CALLS)
async def test_a_service_that_is_not_there_is_unavailable(stack, server, kind):
    provider, call = CALLS[kind]
    made = await opened(stack, provider, server, base_url="http://127.0.0.1:9/v1")
    with pytest.raises(ProviderError) as caught:
        await call(made)
    assert (caught.value.code, caught.value.retryable) == ("INTEGRATION_UNAVAILABLE", True)


@pytest.mark.parametrize(
    ("kind", "code"), [("EMBEDDING", "EMBEDDING_TIMEOUT"), ("TTS", "TTS_ERROR"), ("ASR", "ASR_ERROR")]
)
async def test_a_silent_service_times_out(stack, server, kind, code):
    provider, call = CALLS[kind]
    made = await opened(stack, provider, server, timeout_s=0.2)
    server.fail("stall")
    with pytest.raises(ProviderError) as caught:
        await call(made)
    assert (caught.value.code, caught.value.retryable) == (code, True)


@pytest.mark.parametrize(
    ("kind", "how"),
    [(kind, how) for kind in ("EMBEDDING", "TTS", "ASR") for how in ("drop", "garbage")]
    + [("EMBEDDING", "truncate"), ("EMBEDDING", "missing_item"), ("ASR", "truncate"), ("ASR", "no_text")],
)
async def test_an_unusable_answer_is_unavailable(stack, server, kind, how):
    provider, call = CALLS[kind]
    made = await opened(stack, provider, server)
    server.fail(how)
    with pytest.raises(ProviderError) as caught:
        await call(made)
    assert caught.value.code == "INTEGRATION_UNAVAILABLE"


async def test_vectors_have_length_one_and_the_order_of_the_texts(embedder):
    texts = [f"text {n}" for n in range(150)]
    vectors = await embedder.embed(texts, "document")
    assert len(vectors) == 150
    assert embedder.dimension == 768
    for text, vector in zip(texts, vectors, strict=True):
        expected = openai_server.embedding(text, 768)
        norm = math.hypot(*expected)
        assert math.hypot(*vector) == pytest.approx(1.0)
        assert vector == pytest.approx([value / norm for value in expected], abs=1e-6)


async def test_vectors_as_numbers_are_understood_too(embedder, server):
    (packed,) = await embedder.embed(["a"], "query")
    server.fail("floats")
    (numbers,) = await embedder.embed(["a"], "query")
    assert numbers == pytest.approx(packed, abs=1e-6)


async def test_no_texts_need_no_call(embedder, server):
    assert list(await embedder.embed([], "document")) == []
    assert not server.requests


async def test_empty_and_broken_texts_are_embedded(embedder):
    assert len(await embedder.embed(["", "broken \ud83d surrogate"], "document")) == 2


async def test_vectors_of_another_length_are_refused(embedder, server):
    server.fail("wrong_dimension")
    with pytest.raises(ProviderError) as caught:
        await embedder.embed(["a"], "document")
    assert caught.value.code == "EMBEDDING_DIMENSION_MISMATCH"
    assert not caught.value.retryable


async def test_a_query_does_not_wait_for_a_batch_of_documents(embedder):
    await embedder.embed(["warm"], "query")
    batch = asyncio.create_task(embedder.embed([f"text {n}" for n in range(1000)], "document"))
    await asyncio.sleep(0)
    await embedder.embed(["quick"], "query")
    assert not batch.done()
    await batch


async def test_a_long_text_is_spoken_whole_in_pieces(voice, server):
    text = "The pump is serviced every three weeks. " * 300
    audio = await voice.synthesize(text)
    sent = [recorded.body["input"] for recorded in server.requests]
    assert len(sent) == 4
    assert " ".join(piece.strip() for piece in sent) == text.strip()
    assert count_frames(audio.data) == len(text.split()) + len(sent)
    assert {(r.body["model"], r.body["voice"]) for r in server.requests} == {("gpt-4o-mini-tts", "alloy")}
