"""Chat and embeddings keep the contracts against a server that speaks the wire format, by key and by account."""

import asyncio
import json
import math

import attrs
import pytest
import pytest_asyncio
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.llm import ChatRequest, Message
from ragwork_hooks.providers import ProviderContext
from ragwork_testkit import google_server, openai_server
from ragwork_testkit.embedding import EmbedderContract
from ragwork_testkit.llm import ChatModelContract, collect, request
from ragwork_testkit.remote_chat import RemoteChatTests, broken_after_two_pieces
from ragwork_vertex import chat, embedding

BY_KEY = {"api_key": google_server.API_KEY, "project": None, "location": None}
MODES = {"account": {}, "key": BY_KEY}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(configured):
    """Opens a provider with settings of its own, once for the same settings: an SDK's client takes long to make."""
    made = {}

    async def open_(provider, **more):
        key = (provider.open, *sorted(more.items(), key=str))
        if key not in made:
            made[key] = await provider.open(ProviderContext(services=None, config=configured(**more)))
        return made[key]

    yield open_
    for each in made.values():
        await each.aclose()


@pytest_asyncio.fixture(params=MODES)
async def model(opened, server, request):
    return await opened(chat.provider, **MODES[request.param])


@pytest_asyncio.fixture(params=MODES)
async def embedder(opened, server, request):
    return await opened(embedding.provider, **MODES[request.param])


@pytest.fixture
def account(server, tmp_path):
    """Settings with an account that nobody has used yet."""
    path = tmp_path / "key.json"
    path.write_text(json.dumps(server.account("newcomer")))
    return {"credentials_file": str(path)}


UNBOUNDED = "google-genai reads an answer, and each line of a stream, whole"


class TestGeminiChatContract(ChatModelContract):
    counts_usage = True
    reads_all_because = UNBOUNDED

    @pytest.fixture(autouse=True)
    def _configured(self, configured, server):
        self.configured = configured

    async def make(self):
        return await chat.provider.open(ProviderContext(services=None, config=self.configured()))


# One test of the contract has nothing to wait for, and the mark above is on it too.
@pytest.mark.filterwarnings("ignore:.*is not an async function")
class TestGoogleEmbedderContract(EmbedderContract):
    reads_all_because = UNBOUNDED

    @pytest.fixture(autouse=True)
    def _configured(self, configured, server):
        self.configured = configured

    async def make(self):
        return await embedding.provider.open(ProviderContext(services=None, config=self.configured(**BY_KEY)))


class TestGeminiChat(RemoteChatTests):
    """The fixtures above are of this module."""


async def test_chat_sends_the_whole_prompt_in_the_services_roles(model, server):
    asked = ChatRequest(
        messages=(
            Message(role="system", content="Be brief."),
            Message(role="user", content="Hello"),
            Message(role="assistant", content=""),
            Message(role="user", content="How often?"),
        ),
        passages=(),
        question="How often?",
        max_output_tokens=30,
    )
    deltas = await collect(model, asked)
    (sent,) = server.requests
    assert [(c["role"], c["parts"]) for c in sent.body["contents"]] == [
        ("user", [{"text": "Hello"}]),
        ("model", [{"text": " "}]),
        ("user", [{"text": "How often?"}]),
    ]
    assert sent.body["systemInstruction"]["parts"] == [{"text": "Be brief."}]
    assert sent.body["generationConfig"] == {"maxOutputTokens": 30}
    assert not deltas[-1].usage.estimated
    assert deltas[-1].usage.output_tokens == 4


async def test_a_request_may_name_model_and_temperature(model, server):
    await collect(model, attrs.evolve(request("How often?"), model="gemini-big-1", temperature=0.0))
    (sent,) = server.requests
    assert sent.path.endswith("/models/gemini-big-1:streamGenerateContent")
    assert sent.body["generationConfig"] == {"temperature": 0.0}


async def test_each_mode_has_its_own_address_and_credentials(opened, server):
    for more in MODES.values():
        await collect(await opened(chat.provider, **more), request("How often?"))
        await (await opened(embedding.provider, **more)).embed(["a"], "query")
    vertex = "/v1beta1/projects/test-project/locations/europe-west1/publishers/google/models/"
    assert [(sent.path, sent.caller) for sent in server.requests] == [
        (f"{vertex}gemini-2.0-flash-001:streamGenerateContent", "operator@test.iam.gserviceaccount.com"),
        (f"{vertex}text-embedding-004:predict", "operator@test.iam.gserviceaccount.com"),
        ("/v1/models/gemini-2.0-flash-001:streamGenerateContent", "api key"),
        ("/v1/models/text-embedding-004:batchEmbedContents", "api key"),
    ]


async def test_an_access_token_is_fetched_once(opened, server, account):
    before = server.tokens.exchanges
    model = await opened(chat.provider, **account)
    await asyncio.gather(*(collect(model, request(f"Question {n}")) for n in range(20)))
    assert server.tokens.exchanges == before + 1


@pytest.mark.parametrize("how", ["drop", "truncate", "garbage", "wrong_shape", "error_frame"])
async def test_a_broken_stream_keeps_its_pieces_and_raises(model, server, how):
    server.fail(how)
    error = await broken_after_two_pieces(model)
    assert (error.code, error.retryable) == ("INTEGRATION_UNAVAILABLE", True)
    assert len(server.requests) == 1


@pytest.mark.parametrize("how", ["withhold", "block"])
async def test_an_answer_that_is_withheld_is_refused_with_the_reason(model, server, how):
    server.fail(how, reason="SAFETY")
    with pytest.raises(ProviderError, match="SAFETY") as caught:
        await collect(model, request("How often?"))
    assert (caught.value.code, caught.value.retryable) == ("LLM_ERROR", False)


async def test_an_answer_in_parts_is_not_asked_for_part_by_part(model, server):
    server.fail("withhold", reason="CONTINUATION")
    with pytest.raises(ProviderError, match="CONTINUATION"):
        await collect(model, request("How often?"))
    assert len(server.requests) == 1


@pytest.mark.parametrize("pieces", [0, 2])
async def test_a_stalled_stream_times_out(opened, server, pieces):
    model = await opened(chat.provider, stream_timeout_s=1)
    server.fail("stall", pieces=pieces)
    with pytest.raises(ProviderError) as caught:
        await collect(model, request("How often?"))
    assert (caught.value.code, caught.value.retryable) == ("VERTEX_TIMEOUT", True)


async def test_an_answer_that_drips_ends_at_the_deadline(opened, server):
    model = await opened(chat.provider, stream_timeout_s=1)
    server.pause_s = 0.05
    with pytest.raises(ProviderError) as caught:
        await asyncio.wait_for(collect(model, request("word " * 500)), 3.0)
    assert caught.value.code == "VERTEX_TIMEOUT"


CALLS = {
    "LLM": (chat.provider, lambda made: collect(made, request("How often?"))),
    "EMBEDDING": (embedding.provider, lambda made: made.embed(["a", "b"], "query")),
}
RETRY_INFO = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7.5s"}]
STATUSES = [
    # fault, expected code, retryable, seconds
    ({"status": 401}, "VERTEX_AUTH_ERROR", False, None),
    ({"status": 403}, "VERTEX_AUTH_ERROR", False, None),
    ({"status": 400}, "{}_ERROR", False, None),
    ({"status": 404}, "{}_ERROR", False, None),
    ({"status": 429, "retry_after": "7"}, "INTEGRATION_UNAVAILABLE", True, 7.0),
    ({"status": 429, "retry_after": "soon"}, "INTEGRATION_UNAVAILABLE", True, None),
    ({"status": 429, "retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, "INTEGRATION_UNAVAILABLE", True, 0.0),
    ({"status": 429, "details": RETRY_INFO}, "INTEGRATION_UNAVAILABLE", True, 7.5),
    ({"status": 500}, "INTEGRATION_UNAVAILABLE", True, None),
    ({"status": 503, "retry_after": "2"}, "INTEGRATION_UNAVAILABLE", True, 2.0),
]


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize(("fault", "code", "retryable", "seconds"), STATUSES)
async def test_a_status_becomes_a_typed_error_without_a_retry(
    opened, server, kind, fault, code, retryable, seconds
):
    provider, call = CALLS[kind]
    made = await opened(provider, **BY_KEY)
    server.fail("status", **fault)
    with pytest.raises(ProviderError) as caught:
        await call(made)
    error = caught.value
    assert (error.code, error.retryable, error.retry_after_s) == (code.format(kind), retryable, seconds)
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", CALLS)
async def test_a_wrong_key_is_an_auth_error_that_does_not_repeat_it(opened, kind):
    provider, call = CALLS[kind]
    made = await opened(provider, **{**BY_KEY, "api_key": "AIzaWrong"})
    with pytest.raises(ProviderError) as caught:
        await call(made)
    assert (caught.value.code, caught.value.retryable) == ("VERTEX_AUTH_ERROR", False)
    assert "AIza" not in str(caught.value)


@pytest.mark.parametrize("kind", CALLS)
async def test_an_account_that_is_gone_is_an_auth_error(opened, server, kind, account):
    provider, call = CALLS[kind]
    made = await opened(provider, **account)
    server.tokens.revoke("newcomer")
    with pytest.raises(ProviderError) as caught:
        await call(made)
    assert (caught.value.code, caught.value.retryable) == ("VERTEX_AUTH_ERROR", False)
    assert not server.requests


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize(
    ("more", "code", "named"),
    [
        ({"project": None}, "VERTEX_CONFIG_MISSING", "GOOGLE_CLOUD_PROJECT"),
        ({"location": None}, "VERTEX_CONFIG_MISSING", "GOOGLE_CLOUD_LOCATION"),
        ({"credentials_file": "/nowhere/key.json"}, "VERTEX_AUTH_ERROR", "GOOGLE_APPLICATION_CREDENTIALS"),
        ({"credentials_file": None}, "VERTEX_AUTH_ERROR", "GOOGLE_APPLICATION_CREDENTIALS"),
    ],
)
async def test_what_is_missing_is_named_before_any_call(opened, server, kind, more, code, named):
    with pytest.raises(ProviderError, match=named) as caught:
        await opened(CALLS[kind][0], **more)
    assert caught.value.code == code
    assert not server.requests


@pytest.mark.parametrize("kind", CALLS)
async def test_a_service_that_is_not_there_is_unavailable_at_once(opened, kind):
    provider, call = CALLS[kind]
    made = await opened(provider, **BY_KEY, gemini_endpoint_url="http://127.0.0.1:9")
    with pytest.raises(ProviderError) as caught:
        # The SDK's own second try would come after a second at the earliest.
        await asyncio.wait_for(call(made), 0.9)
    assert (caught.value.code, caught.value.retryable) == ("INTEGRATION_UNAVAILABLE", True)


@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("mode", MODES)
async def test_a_redirect_is_not_followed(opened, server, kind, mode):
    provider, call = CALLS[kind]
    made = await opened(provider, **MODES[mode])
    server.fail("redirect")
    with pytest.raises(ProviderError):
        await call(made)
    assert (len(server.requests), server.strayed) == (1, 0)


async def test_a_silent_embedding_service_times_out(opened, server):
    made = await opened(embedding.provider, embedding_timeout_s=0.3)
    server.fail("stall")
    with pytest.raises(ProviderError) as caught:
        await made.embed(["a"], "query")
    assert (caught.value.code, caught.value.retryable) == ("VERTEX_TIMEOUT", True)


@pytest.mark.parametrize("how", ["drop", "truncate", "garbage", "wrong_shape", "missing_item"])
async def test_unusable_vectors_are_unavailable(embedder, server, how):
    server.fail(how)
    with pytest.raises(ProviderError) as caught:
        await embedder.embed(["a", "b"], "document")
    assert (caught.value.code, caught.value.retryable) == ("INTEGRATION_UNAVAILABLE", True)
    assert len(server.requests) == 1


async def test_vectors_of_another_length_are_refused(embedder, server):
    server.fail("wrong_dimension")
    with pytest.raises(ProviderError) as caught:
        await embedder.embed(["a"], "document")
    assert (caught.value.code, caught.value.retryable) == ("EMBEDDING_DIMENSION_MISMATCH", False)


async def test_vectors_have_length_one_and_the_order_of_the_texts(embedder, server):
    texts = [f"text {n}" for n in range(70)]
    vectors = await embedder.embed(texts, "document")
    assert len(server.requests) == 3
    for text, vector in zip(texts, vectors, strict=True):
        expected = openai_server.embedding(text, 768)
        norm = math.hypot(*expected)
        assert vector == pytest.approx([value / norm for value in expected], abs=1e-6)


async def test_no_call_carries_more_than_the_service_takes(embedder, server):
    await embedder.embed(["x" * 9_000] * 5, "document")
    sizes = [json.dumps(sent.body).count("xx") * 2 for sent in server.requests]
    assert sum(sizes) == 5 * 8_000
    assert max(sizes) <= 20_000


async def test_queries_and_documents_are_marked_as_such(embedder, server):
    await embedder.embed(["a"], "query")
    await embedder.embed(["a"], "document")
    assert [task for sent in server.requests for task in _task_types(sent.body)] == [
        "RETRIEVAL_QUERY",
        "RETRIEVAL_DOCUMENT",
    ]


def _task_types(body):
    if "instances" in body:
        return [instance["task_type"] for instance in body["instances"]]
    return [each["taskType"] for each in body["requests"]]
