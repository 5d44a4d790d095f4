"""The chat model ``bedrock`` keeps the contract against a server that speaks the wire format."""

import asyncio
import threading

import attrs
import pytest
import pytest_asyncio
from ragwork_bedrock import chat
from ragwork_bedrock.config import BedrockConfig
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.llm import ChatRequest, Message
from ragwork_hooks.providers import ProviderContext
from ragwork_testkit import bedrock_server
from ragwork_testkit.llm import ChatModelContract, collect, passages, request, text_of
from ragwork_testkit.remote_chat import ODD_CONVERSATION, RemoteChatTests, broken_after_two_pieces, until

pytestmark = pytest.mark.asyncio(loop_scope="module")
MODEL = "eu.amazon.nova-lite-v1:0"


async def opened(services, server, **more):
    settings = {"runtime_endpoint_url": server.base_url, "model_id": MODEL, "chat_timeout_s": 5.0}
    config = BedrockConfig(**{**settings, **more})
    return await chat.provider.open(ProviderContext(services=services, config=config))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_model(shared_services, shared_server):
    made = await opened(shared_services, shared_server, max_concurrency=4)
    yield made
    await made.aclose()


@pytest.fixture
def model(shared_model, server, services):
    return shared_model


@pytest.mark.asyncio(loop_scope="function")
class TestBedrockChatContract(ChatModelContract):
    counts_usage = True

    """The kit's own loop is the test's, so the server is one of its own too."""

    @pytest.fixture(autouse=True)
    async def _server(self, services):
        async with bedrock_server.serving() as running:
            self.server, self.services = running, services
            yield

    async def make(self):
        return await opened(self.services, self.server)


class TestBedrockChat(RemoteChatTests):
    """The fixtures above are of this module."""


async def test_the_request_is_what_the_service_documents(model, server):
    await collect(model, ODD_CONVERSATION)
    (sent,) = server.requests
    assert sent.target == MODEL
    assert sent.signed.service == "bedrock"
    assert sent.body == {
        "system": [{"text": "Rules."}, {"text": "<passage n=1>"}],
        "messages": [
            {"role": "user", "content": [{"text": "One?"}, {"text": "Two?"}]},
            {"role": "assistant", "content": [{"text": "Three."}]},
            {"role": "user", "content": [{"text": "broken ?"}]},
        ],
        "inferenceConfig": {"maxTokens": 30},
    }


async def test_a_request_may_name_model_and_temperature(model, server):
    await collect(model, attrs.evolve(request("How often?"), model="vendor.big-1:0", temperature=0.0))
    (sent,) = server.requests
    assert sent.target == "vendor.big-1:0"
    assert sent.body["inferenceConfig"] == {"temperature": 0.0}


async def test_a_conversation_without_a_question_is_refused_before_a_call(model, server):
    for messages in ((), (Message(role="user", content=" "),), (Message(role="assistant", content="x"),)):
        with pytest.raises(ProviderError) as caught:
            await collect(model, ChatRequest(messages=messages, passages=(), question=""))
        assert (caught.value.code, caught.value.retryable) == ("LLM_ERROR", False)
    assert not server.requests


async def test_usage_is_the_services_own_count(model, server):
    deltas = await collect(model, request("How often?", passages(2), limit=7))
    assert not deltas[-1].usage.estimated
    assert deltas[-1].usage.output_tokens == 7


async def test_pieces_arrive_when_they_are_sent(model, server):
    server.pause_s = 0.05
    stream = model.stream(request("word " * 100))
    began = asyncio.get_running_loop().time()
    await anext(stream)
    assert asyncio.get_running_loop().time() - began < 4
    await stream.aclose()


@pytest.mark.parametrize("pieces", [-1, 0, 1])
async def test_cancelling_a_reader_that_waits_hangs_up_on_the_service(model, server, pieces):
    server.fail("stall", pieces=pieces)
    threads = threading.active_count()
    task = asyncio.create_task(collect(model, request("word " * 500)))
    assert await until(lambda: server.requests)
    await asyncio.sleep(0.1)
    began = asyncio.get_running_loop().time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.get_running_loop().time() - began < 5
    assert await until(lambda: server.abandoned == 1)
    assert threading.active_count() <= threads + 1


async def test_abandoned_streams_give_their_places_back(model, server):
    for _ in range(5):
        for _ in range(4):
            server.fail("stall")
        tasks = [asyncio.create_task(collect(model, request("word " * 50))) for _ in range(4)]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    server.faults.clear()
    assert text_of(await asyncio.wait_for(collect(model, request("How often?")), 1.0))


async def test_a_stream_beyond_the_limit_waits_its_turn(model, server):
    server.pause_s = 0.02
    streams = [model.stream(request("word " * 100)) for _ in range(4)]
    for stream in streams:
        await anext(stream)
    fifth = asyncio.create_task(collect(model, request("How often?")))
    await asyncio.sleep(0.2)
    assert len(server.requests) == 4
    await streams[0].aclose()
    assert text_of(await asyncio.wait_for(fifth, 2.0))
    for stream in streams[1:]:
        await stream.aclose()


async def test_a_finished_stream_leaves_its_connection_to_the_next_call(model, server):
    for _ in range(5):
        await collect(model, request("How often?"))
    assert len({sent.peer for sent in server.requests}) == 1


@pytest.mark.parametrize(
    ("how", "more", "code", "retryable"),
    [
        ("drop", {}, "INTEGRATION_UNAVAILABLE", True),
        ("truncate", {}, "INTEGRATION_UNAVAILABLE", True),
        ("garbage", {}, "INTEGRATION_UNAVAILABLE", True),
        ("wrong_shape", {}, "INTEGRATION_UNAVAILABLE", True),
        ("error_frame", {"code": "throttlingException"}, "INTEGRATION_UNAVAILABLE", True),
        ("error_frame", {"code": "modelStreamErrorException"}, "INTEGRATION_UNAVAILABLE", True),
        ("error_frame", {"code": "internalServerException"}, "INTEGRATION_UNAVAILABLE", True),
        ("error_frame", {"code": "serviceUnavailableException"}, "INTEGRATION_UNAVAILABLE", True),
        ("error_frame", {"code": "validationException"}, "LLM_ERROR", False),
    ],
)
async def test_a_broken_stream_keeps_its_pieces_and_raises(model, server, how, more, code, retryable):
    server.fail(how, **more)
    error = await broken_after_two_pieces(model)
    assert (error.code, error.retryable) == (code, retryable)
    assert text_of(await collect(model, request("How often?"))).startswith("You asked:")


@pytest.mark.parametrize("pieces", [-1, 0, 2])
async def test_a_stalled_stream_times_out(services, server, pieces):
    made = await opened(services, server, chat_timeout_s=0.3)
    server.fail("stall", pieces=pieces)
    with pytest.raises(ProviderError) as caught:
        await collect(made, request("How often?"))
    assert (caught.value.code, caught.value.retryable) == ("LLM_TIMEOUT", True)
    await made.aclose()


@pytest.mark.parametrize(
    ("status", "service_code", "retry_after", "code", "retryable", "seconds"),
    [
        (403, "AccessDeniedException", None, "AWS_AUTH_ERROR", False, None),
        (403, "ExpiredTokenException", None, "AWS_AUTH_ERROR", False, None),
        (400, "ExpiredTokenException", None, "AWS_AUTH_ERROR", False, None),
        (400, "ValidationException", None, "LLM_ERROR", False, None),
        (400, "ServiceQuotaExceededException", None, "LLM_ERROR", False, None),
        (404, "ResourceNotFoundException", None, "LLM_ERROR", False, None),
        (408, "ModelTimeoutException", None, "LLM_TIMEOUT", True, None),
        (424, "ModelErrorException", None, "INTEGRATION_UNAVAILABLE", True, None),
        (429, "ThrottlingException", "7", "INTEGRATION_UNAVAILABLE", True, 7.0),
        (429, "ThrottlingException", "soon", "INTEGRATION_UNAVAILABLE", True, None),
        (429, "ThrottlingException", "Wed, 21 Oct 2015 07:28:00 GMT", "INTEGRATION_UNAVAILABLE", True, 0.0),
        (429, "ModelNotReadyException", None, "INTEGRATION_UNAVAILABLE", True, None),
        (500, "InternalServerException", None, "INTEGRATION_UNAVAILABLE", True, None),
        (503, "ServiceUnavailableException", "2", "INTEGRATION_UNAVAILABLE", True, 2.0),
        (418, "<b>never seen</b>", None, "LLM_ERROR", False, None),
    ],
)
async def test_a_status_becomes_a_typed_error_without_a_retry(
    model, server, status, service_code, retry_after, code, retryable, seconds
):
    server.fail("status", status=status, code=service_code, retry_after=retry_after)
    with pytest.raises(ProviderError) as caught:
        await collect(model, request("How often?"))
    error = caught.value
    assert (error.code, error.retryable, error.retry_after_s) == (code, retryable, seconds)
    assert "as told" not in error.message
    assert "<" not in error.message
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("settings", "unset", "named"),
    [
        ({"model_id": None}, (), "BEDROCK_MODEL_ID"),
        ({}, ("AWS_REGION",), "BEDROCK_REGION"),
        ({}, ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "AWS_ACCESS_KEY_ID"),
    ],
)
async def test_what_is_missing_is_named(services, server, settings, unset, named):
    for name in unset:
        del services.secrets.values[name]
    with pytest.raises(ProviderError, match=named) as caught:
        await collect(await opened(services, server, **settings), request("How often?"))
    assert (caught.value.code, caught.value.retryable) == ("AWS_CONFIG_MISSING", False)
    assert not server.requests
