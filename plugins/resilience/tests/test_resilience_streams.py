"""Guarded streams: the contract of kind llm, repeats before the first delta only, and stand-ins."""

import asyncio
import time
from contextlib import aclosing

import attrs
import pytest
from ragwork_fake.config import FakeConfig
from ragwork_fake.model import FakeModel
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.llm import ChatRequest
from ragwork_hooks.retrieval import Query
from ragwork_kernel.base.shares import SharesFactory
from ragwork_memory.state import InMemoryState
from ragwork_resilience.breaker import Breaker, Circuits
from ragwork_resilience.config import ResilienceConfig
from ragwork_resilience.guard import Guard
from ragwork_resilience.guarded_providers import GuardedModel
from ragwork_resilience.streams import AHEAD
from ragwork_testkit.llm import ChatModelContract
from ragwork_testkit.services import RecordedMetrics
from ragwork_toolkit.background import BackgroundTasks

ASK = ChatRequest(messages=(), passages=(), question="?")


class TestAGuardedModelKeepsTheContract(ChatModelContract):
    async def make(self):
        config, loop = ResilienceConfig(), asyncio.get_running_loop()
        state = InMemoryState()
        circuits = Circuits(
            lambda account: Breaker(
                state, "cb", account, config.breaker("llm", "far"), loop.time, lambda _: None, lambda _: None
            )
        )
        places = SharesFactory("test").make("far", 64, waiting=640)
        guard = Guard(
            "far", config.policy("llm", "far"), circuits, RecordedMetrics(), places, BackgroundTasks()
        )
        return GuardedModel(FakeModel(FakeConfig()), guard)


async def said(model, request=ASK):
    heard = []
    try:
        async for delta in model.stream(request):
            heard.append(delta.text)  # noqa: PERF401  # what came before an error counts
    except ProviderError as error:
        heard.append(error.code)
    return [text for text in heard if text]


async def test_before_the_first_delta_a_stream_is_repeated(world, kit):
    w, inner = world(), kit.ScriptedModel([kit.down()], ["a", "b"])
    assert await said(w.wrapping.chat_model("far", inner)) == ["a", "b"]
    assert w.count("retries_total", "far") == 1


async def test_after_the_first_delta_nothing_is_repeated(world, kit):
    w, inner = world(), kit.ScriptedModel(["a", kit.down("LLM_TIMEOUT")])
    assert await said(w.wrapping.chat_model("far", inner)) == ["a", "LLM_TIMEOUT"]
    assert inner.calls == 1


@pytest.mark.parametrize("steps", [[30], ["a", 30]])
async def test_silence_ends_a_stream_before_and_between_deltas(world, kit, steps):
    w, inner = world(ext_attempts=1), kit.ScriptedModel(steps)
    model, began = w.wrapping.chat_model("far", inner), time.monotonic()
    assert (await said(model))[-1] == "INTEGRATION_UNAVAILABLE"
    assert time.monotonic() - began < 10
    await asyncio.sleep(0.01)
    assert (inner.running, model.inner.guard.under_way) == (0, 0)


async def test_a_long_stream_may_last_longer_than_the_budget(world, kit):
    w = world(budget_s=0.06)
    steps = ["a", 0.03, "b", 0.03, "c", 0.03, "d"]
    assert await said(w.wrapping.chat_model("far", kit.ScriptedModel(steps))) == ["a", "b", "c", "d"]


async def test_a_stream_that_delivers_steadily_lives_however_long_it_takes(world, kit):
    w = world(ext_timeout_ms=60, budget_s=0.06)
    steps = [step for n in range(40) for step in (str(n), 0.02)]
    model, began = w.wrapping.chat_model("far", kit.ScriptedModel(steps)), time.monotonic()
    assert await said(model) == [str(n) for n in range(40)]
    assert time.monotonic() - began > 10 * 0.06


async def test_a_deaf_stream_keeps_its_place_but_nobody_waiting(world, kit):
    w, inner = world(ext_attempts=1), kit.ScriptedModel(["deaf"])
    model = w.wrapping.chat_model("far", inner)
    await said(model)
    assert model.inner.guard.under_way == 1
    await asyncio.sleep(0.5)
    assert model.inner.guard.under_way == 0


async def test_streams_that_break_in_the_middle_open_the_circuit(world, kit):
    w, inner = world(), kit.ScriptedModel(*[["a", kit.down()]] * 5)
    model = w.wrapping.chat_model("far", inner)
    for _ in range(5):
        await said(model)
    assert await said(model) == ["INTEGRATION_UNAVAILABLE"]
    assert inner.calls == 5


async def test_leaving_a_stream_frees_its_place_at_any_moment(world, kit):
    w, inner = world(ext_timeout_ms=5000), kit.ScriptedModel(*[["a", 0.001, "b", 30]] * 100)
    model = w.wrapping.chat_model("far", inner)

    async def attempt_permit(after):
        async with aclosing(model.stream(ASK)) as deltas:
            async with asyncio.timeout(after):
                async for _ in deltas:
                    pass

    outcomes = await asyncio.gather(*(attempt_permit(n * 0.0003) for n in range(100)), return_exceptions=True)
    assert all(isinstance(outcome, TimeoutError) for outcome in outcomes)
    await asyncio.sleep(0.01)
    assert (inner.running, model.inner.guard.under_way) == (0, 0)


async def test_a_slow_reader_bounds_how_far_the_source_runs_ahead(world, kit):
    w, made = world(), []

    class Counting(kit.ScriptedModel):
        async def stream(self, request):
            for number in range(1000):
                made.append(number)
                yield number

    async with aclosing(w.wrapping.chat_model("far", Counting()).stream(ASK)) as deltas:
        async for _ in deltas:
            await asyncio.sleep(0.01)
            break
    assert len(made) <= 2 * AHEAD


async def test_a_stand_in_answers_when_attempts_are_exhausted_and_when_the_circuit_is_open(world, kit):
    w = world(llm_fallback=("near",), cb_threshold=2)
    inner, near = kit.ScriptedModel(*[[kit.down()]] * 2), kit.ScriptedModel()
    w.providers.bound["llm", "near"] = near
    model = w.wrapping.chat_model("far", inner)
    assert await said(model) == ["fine"]
    assert await said(model) == ["fine"]
    assert (inner.calls, near.calls) == (2, 2)
    assert w.count("fallbacks_total", "far", "near") == 2


async def test_nobody_stands_in_once_the_answer_has_begun_or_for_a_refusal(world, kit):
    w = world(llm_fallback=("near",))
    w.providers.bound["llm", "near"] = near = kit.ScriptedModel()
    inner = kit.ScriptedModel(["a", kit.down()], [kit.refused("LLM_AUTH_ERROR")])
    model = w.wrapping.chat_model("far", inner)
    assert await said(model) == ["a", "INTEGRATION_UNAVAILABLE"]
    assert await said(model) == ["LLM_AUTH_ERROR"]
    assert near.calls == 0


async def test_models_that_stand_in_for_each_other_do_not_go_round(world, kit):
    w = world(llm_fallback=("one", "two", "missing"), ext_attempts=1)
    inners = {name: kit.ScriptedModel(*[[kit.down(f"{name.upper()}_DOWN")]] * 9) for name in ("one", "two")}
    for name, inner in inners.items():
        w.providers.bound["llm", name] = w.wrapping.chat_model(name, inner)
    assert await said(w.providers.bound["llm", "one"]) == ["ONE_DOWN"]
    assert [inner.calls for inner in inners.values()] == [1, 1]


async def test_those_that_a_request_names_stand_in_for_the_operators_and_after_any_failure(world, kit):
    w = world(llm_fallback=("theirs",), ext_attempts=1)
    w.providers.bound["llm", "theirs"] = theirs = kit.ScriptedModel()
    w.providers.bound["llm", "near"] = near = kit.ScriptedModel()
    model = w.wrapping.chat_model("far", kit.ScriptedModel([kit.refused("LLM_ERROR")], *[[kit.down()]] * 3))
    ask = attrs.evolve(ASK, model="far-1", temperature=0.2, fallback=("far", "missing", "near"))
    assert await said(model, ask) == ["fine"]
    assert near.asked == [attrs.evolve(ask, model=None, fallback=())]
    first = await anext(model.stream(attrs.evolve(ask, fallback=("near",))))
    assert first.stand_in == "near"
    assert await said(model, attrs.evolve(ask, fallback=())) == ["INTEGRATION_UNAVAILABLE"]
    assert theirs.calls == 0
    assert await said(model, attrs.evolve(ask, fallback=None)) == ["fine"]
    assert (theirs.calls, near.calls) == (1, 2)


def query(**more):
    return Query(corpus_id="c1", text="?", top_k=5, embedder="e", options={"a": 1}, **more)


async def test_a_corpus_fallback_is_asked_in_order_without_the_corpus_options(world, kit):
    w = world(ext_attempts=1)
    near = kit.Scripted()
    w.providers.bound["retrieval", "dead"] = kit.Scripted(kit.down())
    w.providers.bound["retrieval", "near"] = near
    retriever = w.wrapping.retriever("far", kit.Scripted(kit.down()))
    assert await retriever.prepare("t1", query(fallback=("far", "dead", "near"))) == "fine"
    assert (near.asked[0].options, near.asked[0].fallback) == ({}, ())
    assert w.count("fallbacks_total", "far", "near") == 1


async def test_without_a_fallback_or_when_all_fail_the_first_error_is_told(world, kit):
    w = world(ext_attempts=1)
    w.providers.bound["retrieval", "dead"] = kit.Scripted(kit.down("OTHER"))
    retriever = w.wrapping.retriever("far", kit.Scripted(*[kit.down("AWS_RETRIEVAL_ERROR")] * 2))
    for fallback in ((), ("dead",)):
        with pytest.raises(ProviderError) as raised:
            await retriever.prepare("t1", query(fallback=fallback))
        assert raised.value.code == "AWS_RETRIEVAL_ERROR"


async def test_a_local_retriever_falls_back_when_its_far_embedder_is_down(world, kit):
    w = world(ext_attempts=1)
    embedder = w.embedder(kit.Scripted(kit.down()))

    class Local:
        transactional = True

        async def prepare(self, tenant_id, query):
            return await embedder.embed([query.text], "query")

    w.providers.bound["retrieval", "near"] = kit.Scripted()
    retriever = w.wrapping.retriever("local_pgvector", Local())
    assert await retriever.prepare("t1", query(fallback=("near",))) == "fine"
