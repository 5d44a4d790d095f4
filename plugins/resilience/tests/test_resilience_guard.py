"""What a guarded call does when its provider is down, slow, deaf, throttling, wrong or busy."""

import asyncio
import time

import pytest
from ragwork_hooks.errors import Problem, ProviderError
from ragwork_hooks.notification import Destination, Notification
from ragwork_hooks.retrieval import Query
from ragwork_hooks.speech import Audio


def embed(embedder):
    return embedder.embed(["x"], "query")


async def failing(awaitable):
    with pytest.raises(ProviderError) as raised:
        await awaitable
    return raised.value


async def test_a_failure_that_passes_is_repeated_and_counted_as_one_retry(world, kit):
    w, inner = world(), kit.Scripted(kit.down())
    assert await embed(w.embedder(inner)) == "fine"
    assert (inner.calls, w.count("retries_total", "far")) == (2, 1)


async def test_attempts_are_bounded_and_the_provider_has_the_last_word(world, kit):
    w, inner = world(ext_attempts=3), kit.Scripted(*[kit.down("VERTEX_TIMEOUT")] * 9)
    error = await failing(embed(w.embedder(inner)))
    assert (error.code, error.retryable, inner.calls) == ("VERTEX_TIMEOUT", True, 3)
    assert w.count("retries_total", "far") == 2


async def test_a_refusal_is_not_repeated_and_opens_nothing(world, kit):
    w, inner = world(cb_threshold=2), kit.Scripted(*[kit.refused()] * 9)
    embedder = w.embedder(inner)
    for _ in range(9):
        assert (await failing(embed(embedder))).code == "EMBEDDING_AUTH_ERROR"
    assert inner.calls == 9
    assert w.count("cb_open_total", "far") == 0


async def test_advice_when_to_come_back_is_kept(world, kit):
    w, inner = world(), kit.Scripted(kit.down(after=0.08))
    began = time.monotonic()
    assert await embed(w.embedder(inner)) == "fine"
    assert time.monotonic() - began >= 0.08


async def test_advice_beyond_the_budget_ends_the_call_at_once_and_is_handed_on(world, kit):
    w, inner = world(), kit.Scripted(kit.down(after=30))
    began = time.monotonic()
    error = await failing(embed(w.embedder(inner)))
    assert (error.retry_after_s, inner.calls) == (30, 1)
    assert time.monotonic() - began < 10


async def test_throttling_does_not_open_the_circuit(world, kit):
    w, inner = world(ext_attempts=1, cb_threshold=2), kit.Scripted(*[kit.down(after=9)] * 6)
    embedder = w.embedder(inner)
    for _ in range(6):
        await failing(embed(embedder))
    assert (inner.calls, w.count("cb_open_total", "far")) == (6, 0)


async def test_a_silent_provider_is_cancelled_in_time_and_asked_again(world, kit):
    w, inner = world(), kit.Scripted(30, 30)
    embedder, began = w.embedder(inner), time.monotonic()
    error = await failing(embed(embedder))
    assert error.code == "INTEGRATION_UNAVAILABLE"
    assert time.monotonic() - began < 10
    await asyncio.sleep(0.01)
    assert (inner.calls, inner.running, embedder.guard.under_way) == (2, 0, 0)


async def test_one_provider_may_have_more_time(world, kit):
    w = world(timeouts_s={"slow": 0.3})
    assert await embed(w.embedder(kit.Scripted(0.1), "slow")) == 0.1
    await failing(embed(w.embedder(kit.Scripted(0.1, 0.1), "other")))


async def test_the_budget_bounds_all_attempts_together(world, kit):
    w, inner = world(ext_attempts=20, budget_s=0.14), kit.Scripted(*[30] * 20)
    began = time.monotonic()
    await failing(embed(w.embedder(inner)))
    assert time.monotonic() - began < 10
    assert 2 <= inner.calls <= 3


async def test_a_provider_that_ignores_cancellation_keeps_its_place_but_nobody_waiting(world, kit):
    w, inner = world(ext_attempts=1, provider_concurrency=1), kit.Scripted("deaf")
    embedder, began = w.embedder(inner), time.monotonic()
    await failing(embed(embedder))
    assert embedder.guard.under_way == 1
    assert await embed(embedder) == "fine"  # waited for the place
    assert time.monotonic() - began >= 0.5
    assert (inner.most, embedder.guard.under_way) == (1, 0)


async def test_a_full_bulkhead_is_busy_and_leaves_other_providers_alone(world, kit):
    w = world(ext_timeout_ms=5000, provider_concurrency=2, budget_s=0.1)
    slow = w.embedder(kit.Scripted("deaf", "deaf"), "slow")
    held = [asyncio.create_task(embed(slow)) for _ in range(2)]
    await asyncio.sleep(0)
    error = await failing(embed(slow))
    assert (error.code, error.retry_after_s) == ("SERVICE_BUSY", 1)
    assert await embed(w.embedder(kit.Scripted(), "other")) == "fine"
    await asyncio.gather(*held, return_exceptions=True)


@pytest.mark.parametrize("odd", [KeyError("bug"), ValueError(), asyncio.CancelledError(), OSError()])
async def test_what_nobody_foresaw_has_a_type_for_the_caller(world, kit, odd):
    w, inner = world(ext_attempts=1), kit.Scripted(odd)
    error = await failing(embed(w.embedder(inner)))
    assert error.code == "INTEGRATION_UNAVAILABLE"
    assert "bug" not in error.message


async def test_a_problem_passes_unchanged(world, kit):
    w, inner = world(), kit.Scripted(Problem("SERVICE_UNAVAILABLE", "database"))
    with pytest.raises(Problem):
        await embed(w.embedder(inner))
    assert inner.calls == 1


async def test_a_dead_provider_is_left_alone_then_probed_and_taken_back(world, kit):
    w, inner = world(ext_attempts=1, cb_trials=1), kit.Scripted(*[kit.down()] * 5)
    embedder = w.embedder(inner)
    for _ in range(5):
        await failing(embed(embedder))
    assert w.count("cb_open_total", "far") == 1
    began = time.monotonic()
    for _ in range(50):
        error = await failing(embed(embedder))
        assert error.retryable
        assert 0 < error.retry_after_s <= 0.25
    assert (time.monotonic() - began) / 50 < 0.005
    assert inner.calls == 5
    await asyncio.sleep(0.3)
    assert await embed(embedder) == "fine"
    assert await embed(embedder) == "fine"


async def test_an_opening_circuit_fails_waiting_callers_without_a_place(world, kit):
    w = world(ext_attempts=1, provider_concurrency=1, cb_threshold=1)
    embedder = w.embedder(kit.Scripted(30))
    first = asyncio.create_task(embed(embedder))
    await asyncio.sleep(0.01)
    waiting = [asyncio.create_task(embed(embedder)) for _ in range(5)]
    for task in (first, *waiting):
        assert (await failing(task)).code == "INTEGRATION_UNAVAILABLE"
    assert embedder.guard.under_way == 0


async def test_cancelled_callers_leave_nothing_behind_and_say_nothing(world, kit):
    w, inner = world(ext_timeout_ms=5000, cb_threshold=1), kit.Scripted(*[30] * 100)
    embedder = w.embedder(inner)
    tasks = [asyncio.create_task(embed(embedder)) for _ in range(100)]
    await asyncio.sleep(0.02)
    for task in tasks:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.01)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert (inner.running, embedder.guard.under_way, w.count("cb_open_total", "far")) == (0, 0, 0)
    inner.script.clear()
    assert await embed(embedder) == "fine"


async def test_a_cancelled_probe_gives_its_place_back(world, kit):
    w = world(ext_timeout_ms=5000, ext_attempts=1, cb_threshold=1, cb_trials=1, cb_open_s=0.01)
    embedder = w.embedder(kit.Scripted(kit.down(), 30))
    await failing(embed(embedder))
    await asyncio.sleep(0.3)
    probe = asyncio.create_task(embed(embedder))
    await asyncio.sleep(0.01)
    await failing(embed(embedder))
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    await asyncio.sleep(0)
    assert await embed(embedder) == "fine"


async def test_two_kernels_share_a_circuit_but_not_a_bulkhead(world, kit):
    one = world(ext_attempts=1)
    two = world(state=one.state, ext_attempts=1)
    embedder, other = one.embedder(kit.Scripted(*[kit.down()] * 5)), two.embedder(kit.Scripted())
    for _ in range(5):
        await failing(embed(embedder))
    assert (await failing(embed(other))).code == "INTEGRATION_UNAVAILABLE"
    assert (one.count("cb_open_total", "far"), two.count("cb_open_total", "far")) == (1, 0)


@pytest.mark.parametrize("attempts", [1, 2])
async def test_a_nested_call_is_neither_repeated_nor_counted_twice(world, kit, attempts):
    w = world(cb_threshold=4, ext_timeout_ms=500, ext_attempts=attempts)
    inner = kit.Scripted(*[kit.down()] * 9)
    embedder = w.embedder(inner, "embedder")

    class Remote:
        transactional = False

        async def prepare(self, tenant_id, query):
            return await embed(embedder)

    retriever = w.wrapping.retriever("remote", Remote())
    await failing(retriever.prepare("t1", query()))
    assert inner.calls == attempts
    for _ in range(5):
        await failing(retriever.prepare("t1", query()))
    assert w.count("cb_open_total", "embedder") == 1
    assert w.count("cb_open_total", "remote") == 0


async def test_an_open_circuit_is_told_even_when_every_place_is_stuck(world, kit):
    w = world(ext_attempts=1, provider_concurrency=1, cb_threshold=1, cb_open_s=5)
    embedder = w.embedder(kit.Scripted("deaf"))
    await failing(embed(embedder))
    assert (await failing(embed(embedder))).code == "INTEGRATION_UNAVAILABLE"
    assert embedder.guard.under_way == 1


async def test_a_nested_call_ends_before_its_caller_does(world, kit):
    w = world(ext_timeout_ms=200, timeouts_s={"embedder": 5.0}, budget_s=5.0, ext_attempts=1)
    embedder = w.embedder(kit.Scripted(30), "embedder")

    class Remote:
        transactional = False

        async def prepare(self, tenant_id, query):
            return await embed(embedder)

    error = await failing(w.wrapping.retriever("remote", Remote()).prepare("t1", query()))
    assert "embedder" in error.message


def query(**more):
    return Query(corpus_id="c1", text="?", top_k=5, embedder="e", **more)


async def test_a_tenants_own_account_has_its_own_circuit(world, kit):
    w, inner = world(ext_attempts=1, cb_threshold=1), kit.Scripted(kit.down())
    retriever, own = w.wrapping.retriever("far", inner), {"credentials_ref": "mine"}
    await failing(retriever.prepare("t1", query(options=own)))
    await failing(retriever.prepare("t1", query(options=own)))
    assert inner.calls == 1
    assert await retriever.prepare("t2", query(options=own)) == "fine"
    assert await retriever.prepare("t1", query()) == "fine"


async def test_speech_and_hearing_are_repeated_and_deliveries_are_not(world, kit):
    w = world()
    assert await w.wrapping.synthesizer("v", kit.Scripted(kit.down())).synthesize("hi") == "fine"
    sound = Audio(data=b"", mime="audio/wav")
    assert await w.wrapping.recognizer("e", kit.Scripted(kit.down())).recognize(sound) == "fine"
    channel = w.wrapping.channel("c", inner := kit.Scripted(kit.down(), kit.down()))
    to = Destination(id="d1", tenant_id="t1", url="https://example.com")
    await failing(channel.deliver(to, "1", Notification(type="x", data={})))
    assert inner.calls == 1


async def test_providers_of_this_process_are_left_as_they_are(world, kit):
    w = world()
    inner = kit.Scripted()
    assert w.embedder(inner, "minilm") is inner
    # A request may name stand-ins for any model, so there is that layer, and nothing else.
    assert w.wrapping.chat_model("extractive", inner).inner is inner


async def test_latency_is_observed_for_failures_too(world, kit):
    w = world()
    await embed(w.embedder(kit.Scripted(kit.down())))
    names = [(name, labels) for name, _seconds, labels in w.metrics.observed]
    assert names == [("integrations_provider_latency_seconds", {"service": "far"})] * 2


async def test_the_gauge_shows_the_operators_circuit(world, kit):
    w = world(cb_threshold=1, ext_attempts=1)
    provider = w.embedder(kit.Scripted(kit.down()))
    shown = lambda: w.metrics.gauges["integrations_provider_circuit_state", "far"]  # noqa: E731
    with pytest.raises(ProviderError):
        await provider.embed(["x"], "query")
    assert shown() == 2
    await asyncio.sleep(0.3)
    for _ in range(3):
        await provider.embed(["x"], "query")
    assert shown() == 0
