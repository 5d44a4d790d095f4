"""The chat model keeps the contract against a server that speaks the Messages API."""

import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_anthropic import chat
from ragwork_anthropic.config import AnthropicConfig
from ragwork_anthropic.pieces import AnswerState
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.llm import ChatRequest, Message
from ragwork_hooks.providers import ProviderContext
from ragwork_testkit import anthropic_server
from ragwork_testkit.llm import ChatModelContract, collect, request, text_of
from ragwork_testkit.platform import DEFAULT_PLUGINS
from ragwork_testkit.remote_chat import ODD_CONVERSATION, RemoteChatTests, broken_after_two_pieces


@pytest.fixture(autouse=True)
async def server():
    async with anthropic_server.serving() as running:
        yield running


def context(server, **more):
    settings = {"api_key": anthropic_server.KEY, "base_url": server.base_url, "timeout_s": 5, **more}
    return ProviderContext(services=None, config=AnthropicConfig(**settings))


@pytest.fixture
async def opened(server):
    made = []

    async def open_with(**more):
        made.append(await chat.provider.open(context(server, **more)))
        return made[-1]

    yield open_with
    for each in made:
        await each.aclose()


@pytest.fixture
async def model(opened):
    return await opened()


#: No test waits for longer than this.
QUICK = {"ANTHROPIC_TIMEOUT_S": "5"}


class TestAnthropicChatContract(ChatModelContract):
    settings = QUICK
    counts_usage = True

    @pytest.fixture(autouse=True)
    def _server(self, server):
        self.server = server

    async def make(self):
        return await chat.provider.open(context(self.server))


class TestAnthropicChat(RemoteChatTests):
    """The fixtures above are of this module."""


async def test_the_request_is_what_the_service_documents(model, server):
    asked = attrs.evolve(ODD_CONVERSATION, temperature=0.2)
    await collect(model, asked)
    (sent,) = server.requests
    assert sent.body == {
        "model": "claude-sonnet-5-5",
        "max_tokens": 30,
        "system": [{"type": "text", "text": "Rules."}, {"type": "text", "text": "<passage n=1>"}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "One?"}, {"type": "text", "text": "Two?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Three."}]},
            {"role": "user", "content": [{"type": "text", "text": "broken ?"}]},
        ],
        "stream": True,
    }
    assert "traceparent" not in {name.lower() for name in sent.headers}


async def test_a_request_may_name_its_model_and_need_not_say_how_long_the_answer_may_be(opened, server):
    model = await opened(max_tokens=77)
    await collect(model, attrs.evolve(request("How often?"), model="claude-big-1"))
    (sent,) = server.requests
    assert (sent.body["model"], sent.body["max_tokens"]) == ("claude-big-1", 77)


async def test_a_conversation_without_a_question_is_refused_before_a_call(model, server):
    with pytest.raises(ProviderError) as caught:
        await collect(
            model, ChatRequest(messages=(Message(role="user", content=" "),), passages=(), question="")
        )
    assert (caught.value.code, caught.value.retryable) == ("LLM_ERROR", False)
    assert not server.requests


@pytest.mark.parametrize(
    ("how", "kind", "code", "retryable"),
    [
        ("drop", "", "INTEGRATION_UNAVAILABLE", True),
        ("error_event", "overloaded_error", "INTEGRATION_UNAVAILABLE", True),
        ("error_event", "rate_limit_error", "INTEGRATION_UNAVAILABLE", True),
        ("error_event", "something new", "INTEGRATION_UNAVAILABLE", True),
        ("error_event", "invalid_request_error", "LLM_ERROR", False),
        ("error_event", "authentication_error", "LLM_AUTH_ERROR", False),
    ],
)
async def test_a_broken_stream_keeps_its_pieces_and_raises(model, server, how, kind, code, retryable):
    server.fail(how, kind=kind)
    error = await broken_after_two_pieces(model)
    assert (error.code, error.retryable) == (code, retryable)
    assert "as told" not in str(error)


async def test_a_stalled_stream_times_out(opened, server):
    model = await opened(timeout_s=0.2)
    server.fail("stall")
    with pytest.raises(ProviderError) as caught:
        await collect(model, request("How often?"))
    assert (caught.value.code, caught.value.retryable) == ("LLM_TIMEOUT", True)


@pytest.mark.parametrize(
    ("status", "kind", "retry_after", "code", "retryable", "seconds"),
    [
        (401, "authentication_error", None, "LLM_AUTH_ERROR", False, None),
        (403, "permission_error", None, "LLM_AUTH_ERROR", False, None),
        (400, "invalid_request_error", None, "LLM_ERROR", False, None),
        (402, "billing_error", None, "LLM_ERROR", False, None),
        (404, "not_found_error", None, "LLM_ERROR", False, None),
        (413, "request_too_large", None, "LLM_ERROR", False, None),
        (429, "rate_limit_error", "7", "INTEGRATION_UNAVAILABLE", True, 7.0),
        (429, "rate_limit_error", "soon", "INTEGRATION_UNAVAILABLE", True, None),
        (500, "api_error", None, "INTEGRATION_UNAVAILABLE", True, None),
        (529, "overloaded_error", None, "INTEGRATION_UNAVAILABLE", True, None),
        (529, "overloaded_error", "2", "INTEGRATION_UNAVAILABLE", True, 2.0),
    ],
)
async def test_a_status_becomes_a_typed_error_without_a_retry(
    model, server, status, kind, retry_after, code, retryable, seconds
):
    server.fail("status", status=status, kind=kind, retry_after=retry_after)
    with pytest.raises(ProviderError) as caught:
        await collect(model, request("How often?"))
    error = caught.value
    assert (error.code, error.retryable, error.retry_after_s) == (code, retryable, seconds)
    assert f"the service answered {status} ({kind})" in error.message
    assert len(server.requests) == 1


async def test_a_wrong_key_is_an_auth_error_that_does_not_repeat_it(opened):
    with pytest.raises(ProviderError, match="check ANTHROPIC_API_KEY") as caught:
        await collect(await opened(api_key="sk-wrong"), request("How often?"))
    assert caught.value.code == "LLM_AUTH_ERROR"
    assert "sk-" not in str(caught.value)


async def test_without_a_key_nothing_opens(server):
    assert chat.provider.ready(AnthropicConfig()) == "needs ANTHROPIC_API_KEY, which is unset"
    with pytest.raises(ProviderError) as caught:
        await chat.provider.open(context(server, api_key=None))
    assert caught.value.code == "LLM_CONFIG_MISSING"


async def test_a_service_that_is_not_there_is_unavailable(opened):
    with pytest.raises(ProviderError) as caught:
        await collect(await opened(base_url="http://127.0.0.1:9"), request("How often?"))
    assert (caught.value.code, caught.value.retryable) == ("INTEGRATION_UNAVAILABLE", True)


@pytest.mark.parametrize(
    ("how", "reason"), [("refusal", "content_filter"), ("truncate", "incomplete"), ("garbage", "incomplete")]
)
async def test_an_answer_that_ends_early_is_kept_with_why(model, server, how, reason):
    server.fail(how)
    deltas = await collect(model, request("How often?"))
    assert text_of(deltas) == "You asked:"
    assert deltas[-1].finish_reason == reason


async def test_an_answer_as_long_as_it_may_be_says_so(model):
    deltas = await collect(model, request("How often?", limit=3))
    assert (deltas[-1].finish_reason, deltas[-1].usage.output_tokens) == ("length", 3)


async def test_a_stream_without_an_answer_is_unavailable(model, server):
    server.fail("truncate", pieces=0)
    with pytest.raises(ProviderError) as caught:
        await collect(model, request("How often?"))
    assert caught.value.code == "INTEGRATION_UNAVAILABLE"


def heard(*events):
    state = AnswerState()
    return "".join(state.add(event) for event in events), state


def test_a_cached_prompt_counts_and_thoughts_are_not_told():
    text, state = heard(
        {
            "type": "message_start",
            "message": {
                "usage": {"input_tokens": 5, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 7}
            },
        },
        {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hm", "text": "hm"}},
        {"type": "content_block_start", "content_block": {"type": "text", "text": "So"}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": ": yes."}},
        {"type": "message_delta", "delta": {"stop_reason": "stop_sequence"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    )
    assert text == "So: yes."
    assert (state.usage.input_tokens, state.usage.output_tokens) == (112, 9)
    assert (state.ended, state.stopped, state.reason) == (True, True, None)


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "usage", "delta", "stop_reason", "input_tokens"]), inner
        )
    ),
    max_leaves=8,
)
KINDS = ["message_start", "content_block_start", "content_block_delta", "message_delta", "ping", "x"]


@given(
    kind=st.sampled_from(KINDS) | JSONISH,
    wild=st.dictionaries(st.sampled_from(["message", "delta", "usage", "content_block"]), JSONISH),
)
def test_no_event_is_too_wild_to_be_read_around(kind, wild):
    text, state = heard(
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "one"}},
        json.loads(json.dumps({"type": kind, **wild})),
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "two"}},
    )
    assert (text[:3], text[-3:]) == ("one", "two")
    assert state.usage is None or state.usage.input_tokens >= 0


async def test_a_corpus_is_answered_by_it_on_a_whole_platform(platform, server):
    settings = {"ANTHROPIC_API_KEY": anthropic_server.KEY, "ANTHROPIC_BASE_URL": server.base_url}
    plugins = (*DEFAULT_PLUGINS, "anthropic", "resilience")
    async with platform(plugins=plugins, settings=settings) as app:
        key = await app.key()
        generation = {"provider": "anthropic", "system_prompt": "Be brief.", "fallback": ["extractive"]}
        body = {"id": "c", "name": "c", "provider_config_json": {"generation": generation}}
        assert (await app.call("POST", "/v1/corpora", key, json=body)).status == 201
        text = "Every employee has 30 days of paid leave a year."
        document = {"corpus_id": "c", "document_id": "d", "text": text}
        await app.call("POST", "/v1/documents/text", key, json=document)
        await app.ingested(key, "d")
        run = {"session_id": "s", "corpus_id": "c", "message": "How many days of leave?"}
        answer = await app.call("POST", "/v1/run", key, json=run, headers={"Accept": "application/json"})
        assert answer.data["citations"][0]["quote"] == text
        assert answer.data["finish_reason"] == "stop"
        (system,) = server.requests[0].body["system"]
        assert system["text"].endswith("Be brief.")
        server.fail("status", status=400, kind="invalid_request_error")
        answer = await app.call("POST", "/v1/run", key, json=run, headers={"Accept": "application/json"})
        assert "30 days of paid leave" in answer.data["text"]
