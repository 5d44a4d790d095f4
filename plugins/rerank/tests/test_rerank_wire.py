"""What is asked of a service of each format, what is made of its answers, and of its failures."""

import asyncio
import time

import pytest
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import ProviderContext
from ragwork_kernel.base.egress import EgressClient
from ragwork_rerank.config import RerankConfig, ready
from ragwork_rerank.reranker import BATCH, MAX_TEXT_CHARS, ServiceReranker, provider
from ragwork_testkit.rerank_server import KEY

FORMATS = ("cohere", "jina", "tei")
QUESTION, TEXTS = "low tide", ["high tide", "low tide", "no water"]
SCORE = {"cohere": "relevance_score", "jina": "relevance_score", "tei": "score"}


def items(wire_format, *pairs):
    return [{"index": index, SCORE[wire_format]: score} for index, score in pairs]


async def failing(call):
    with pytest.raises(ProviderError) as raised:
        await call
    assert KEY not in raised.value.message
    return raised.value


@pytest.mark.parametrize(
    ("wire_format", "path", "body"),
    [
        ("cohere", "/v2/rerank", {"model": "rerank-1", "query": QUESTION, "documents": TEXTS}),
        (
            "jina",
            "/v1/rerank",
            {"model": "rerank-1", "query": QUESTION, "documents": TEXTS, "return_documents": False},
        ),
        (
            "tei",
            "/rerank",
            {
                "model": "rerank-1",
                "query": QUESTION,
                "texts": TEXTS,
                "raw_scores": False,
                "return_text": False,
                "truncate": True,
            },
        ),
    ],
)
async def test_each_format_is_spoken_and_scores_come_in_the_order_of_the_texts(
    server, make, wire_format, path, body
):
    assert await make(wire_format=wire_format).rerank(QUESTION, TEXTS) == [0.5, 1.0, 0.0]
    assert server.requests == [(path, body)]


async def test_without_a_model_tei_is_asked_for_none(server, make):
    await make(model=None).rerank(QUESTION, TEXTS)
    assert "model" not in server.requests[0][1]


async def test_many_texts_go_in_requests_that_the_service_takes(server, make):
    texts = [f"low tide {number}" if number % 2 else "tide" for number in range(2 * BATCH + 1)]
    scores = await make().rerank(QUESTION, texts)
    assert scores == [1.0 if number % 2 else 0.5 for number in range(2 * BATCH + 1)]
    assert [len(body["texts"]) for _, body in server.requests] == [BATCH, BATCH, 1]


@pytest.mark.parametrize("wire_format", FORMATS)
async def test_long_blank_and_ill_formed_texts_are_sent_as_services_take_them(server, make, wire_format):
    await make(wire_format=wire_format).rerank(" \n", ["x" * 10 * MAX_TEXT_CHARS, "", "a\ud800b"])
    _, body = server.requests[0]
    assert body["query"] == "-"
    assert body.get("documents", body.get("texts")) == ["x" * MAX_TEXT_CHARS, "-", "a?b"]


@pytest.mark.parametrize("wire_format", FORMATS)
async def test_raw_scores_are_brought_between_0_and_1_and_stay_comparable(server, make, wire_format):
    reranker = make(wire_format=wire_format)
    server.raw = True
    # A logit of 0 could be a normalised score; beside the first answer it can't.
    first = await reranker.rerank(QUESTION, TEXTS)
    second = await reranker.rerank(QUESTION, ["high tide"])
    assert [round(score, 3) for score in first] == [0.5, 0.999, 0.001]
    assert second == [0.5]


async def test_the_largest_raw_scores_do_not_overflow(server, make):
    server.fail(items=items("tei", (0, 1e300), (1, -1e300), (2, 0)))
    assert await make().rerank(QUESTION, TEXTS) == [1.0, 0.0, 0.5]


@pytest.mark.parametrize("wire_format", FORMATS)
@pytest.mark.parametrize(
    "pairs",
    [
        [(0, 0.5), (1, 0.5)],
        [(0, 0.5), (1, 0.5), (1, 0.5)],
        [(0, 0.5), (1, 0.5), (1, 0.5), (2, 0.5)],
        [(0, 0.5), (1, 0.5), (3, 0.5)],
        [(0, 0.5), (1, 0.5), (-1, 0.5)],
        [(0, 0.5), (1, 0.5), ("2", 0.5)],
        [(False, 0.5), (True, 0.5), (2, 0.5)],
        [(0, 0.5), (1, 0.5), (2, None)],
        [(0, 0.5), (1, 0.5), (2, float("nan"))],
        [(0, 0.5), (1, 0.5), (2, float("inf"))],
        [(0, 0.5), (1, 0.5), (2, 10**400)],
        [],
    ],
    ids=str,
)
async def test_missing_repeated_and_impossible_items_are_no_answer(server, make, wire_format, pairs):
    server.fail(items=items(wire_format, *pairs))
    error = await failing(make(wire_format=wire_format).rerank(QUESTION, TEXTS))
    assert (error.code, error.retryable) == ("INTEGRATION_UNAVAILABLE", True)


@pytest.mark.parametrize("wire_format", FORMATS)
@pytest.mark.parametrize("wrong", [7, "text", [None], [[]], {"results": 1}, {}])
async def test_an_answer_of_another_shape_is_no_answer(server, make, wire_format, wrong):
    server.fail(items=wrong)
    error = await failing(make(wire_format=wire_format).rerank(QUESTION, TEXTS))
    assert (error.code, error.retryable) == ("INTEGRATION_UNAVAILABLE", True)


@pytest.mark.parametrize("how", ["truncate", "garbage", "drop"])
async def test_a_broken_answer_is_no_answer(server, make, how):
    server.fail(how=how)
    error = await failing(make().rerank(QUESTION, TEXTS))
    assert (error.code, error.retryable) == ("INTEGRATION_UNAVAILABLE", True)


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, "RERANKER_ERROR", False),
        (401, "RERANKER_AUTH_ERROR", False),
        (403, "RERANKER_AUTH_ERROR", False),
        (413, "RERANKER_ERROR", False),
        (422, "RERANKER_ERROR", False),
        (500, "INTEGRATION_UNAVAILABLE", True),
        (503, "INTEGRATION_UNAVAILABLE", True),
    ],
)
async def test_a_refusal_says_by_its_status_whether_to_try_again(server, make, status, code, retryable):
    server.fail(status=status)
    error = await failing(make().rerank(QUESTION, TEXTS))
    assert (error.code, error.retryable, error.retry_after_s) == (code, retryable, None)


async def test_a_busy_service_s_advice_is_handed_on(server, make):
    server.fail(status=429, retry_after="7")
    error = await failing(make().rerank(QUESTION, TEXTS))
    assert (error.code, error.retryable, error.retry_after_s) == ("INTEGRATION_UNAVAILABLE", True, 7.0)


async def test_a_wrong_key_names_the_setting(make):
    error = await failing(make(api_key="another").rerank(QUESTION, TEXTS))
    assert error.code == "RERANKER_AUTH_ERROR"
    assert "RERANK_API_KEY" in error.message


async def test_a_slow_service_is_a_timeout_and_a_caller_need_not_wait_for_it(server, make):
    server.fail(how="stall")
    error = await failing(make(timeout_s=0.2).rerank(QUESTION, TEXTS))
    assert (error.code, error.retryable) == ("RERANKER_TIMEOUT", True)
    server.fail(how="stall")
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await make(timeout_s=60).rerank(QUESTION, TEXTS)
    assert time.monotonic() - started < 5


async def test_a_private_address_that_is_not_allowed_says_where_to_allow_it():
    egress = EgressClient([])
    config = RerankConfig(url="http://127.0.0.1:9")
    error = await failing(ServiceReranker(egress, "http://127.0.0.1:9", config).rerank(QUESTION, TEXTS))
    await egress.close()
    assert (error.code, error.retryable) == ("RERANKER_CONFIG_INVALID", False)
    assert "EGRESS_ALLOW_PRIVATE" in error.message


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        (RerankConfig(), "RERANK_URL"),
        (RerankConfig(url="https://api.example.com", wire_format="cohere"), "RERANK_MODEL"),
        (RerankConfig(url="https://api.example.com", wire_format="jina", model=""), "RERANK_MODEL"),
    ],
)
async def test_what_is_missing_is_named(config, missing):
    assert missing in ready(config)
    error = await failing(provider.open(ProviderContext(services=None, config=config)))
    assert error.code == "RERANKER_CONFIG_MISSING"
    assert missing in error.message


def test_nothing_is_missing_where_the_format_needs_no_model():
    assert ready(RerankConfig(url="http://tei:8080")) is None
