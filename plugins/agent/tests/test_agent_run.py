"""A run against real Postgres: order, budget, sessions, cancellation, revocation, speech."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import attrs
import pytest
from ragwork_agent.run.run import Run, RunInput
from ragwork_agent.sessions import session_store
from ragwork_agent.sessions.session_store import SessionKey
from ragwork_hooks.admission import ServiceLimits
from ragwork_hooks.errors import Problem, ProviderError
from ragwork_hooks.llm import Delta, GenerationSettings, ModelCitation
from ragwork_hooks.notification import Notification

Make = Callable[..., RunInput]
Collect = Any


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that has no event of its own."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def messages(world: Any, asked: RunInput) -> list[Any]:
    async with world.db.tenant(asked.principal.tenant_id) as tx:
        key = SessionKey(user_id=asked.principal.user_id, session_id=asked.session_id)
        return list(await session_store.messages(tx, key, limit=100, offset=0) or [])


async def busy(world: Any, asked: RunInput) -> bool:
    async with world.db.tenant(asked.principal.tenant_id) as tx:
        return bool(
            await tx.fetchval("SELECT busy_until > clock_timestamp() FROM agent.sessions WHERE id = $1", "s1")
        )


async def test_a_run_gives_its_frames_in_the_contracts_order(
    world: Any, asked: Make, collect: Collect
) -> None:
    notice = Notification(type="cost.warn", data={"status": "warn"})
    frames = await collect(Run(world.runtime(debug_events=True), asked(notices=(notice,))))
    assert [f.type for f in frames] == [
        "request.accepted", "cost.warn", "debug.retrieval", "token.delta", "token.delta", "message.final",
    ]  # fmt: skip
    assert [f.event for f in frames][:2] == ["message", "cost.warn"]
    final = frames[-1].data
    assert final["text"] == "The gate is green [1]." == "".join(str(f.data["delta"]) for f in frames[3:5])
    assert final["citations"] == [
        {
            "n": 1, "corpus_id": "c1", "document_id": "d1", "version": 1, "chunk_id": "d1:0", "start": 100, "end": 118,
            "quote": "The gate is green.", "source": "d1.md", "score": 0.5, "metadata": {},
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "told"), [(None, "stop"), ("length", "length"), ("content_filter", "content_filter")]
)
async def test_why_an_answer_ended_is_told_in_its_last_frame_and_in_the_answer(
    world: Any, asked: Make, collect: Collect, reason: Any, told: str
) -> None:
    world.model.script[-1] = attrs.evolve(world.model.script[-1], finish_reason=reason)
    run = Run(world.runtime(), asked())
    frames = await collect(run)
    assert run.answer is not None
    assert (frames[-1].data["finish_reason"], run.answer.finish_reason) == (told, told)
    [(question, _), (answer, _)] = await messages(world, asked())
    assert (question.finish_reason, answer.finish_reason) == (None, told)


@pytest.mark.parametrize(
    ("generation", "stand_in", "provider", "model"),
    [
        (None, None, "extractive", None),
        (GenerationSettings(model="m-1"), None, "extractive", "m-1"),
        (GenerationSettings(provider="far", model="far-1"), None, "far", "far-1"),
        (GenerationSettings(provider="far", model="far-1"), "near", "near", None),
    ],
)
async def test_what_a_run_cost_is_told_with_who_answered(
    world: Any, asked: Make, collect: Collect, generation: Any, stand_in: Any, provider: str, model: Any
) -> None:
    world.generation = generation
    world.model.script[0] = attrs.evolve(world.model.script[0], stand_in=stand_in)
    await collect(Run(world.runtime(), asked()))
    [(_, event)] = world.events.seen
    assert (event.payload["provider"], event.payload["model"]) == (provider, model)


async def test_a_first_run_takes_3_round_trips_to_the_first_token_and_5_in_all(
    world: Any, asked: Make, collect: Collect
) -> None:
    runtime = world.runtime()
    at_first_token: list[int] = []

    async def before(index: int) -> None:
        if index == 0:
            at_first_token.append(world.db.trips)
            assert world.db.under_way == 0, "a connection is held while the model answers"

    world.model.before = before
    await collect(Run(runtime, asked()))
    assert (at_first_token, world.db.trips) == ([3], 5)
    assert world.held_while_embedding == [0]
    await collect(Run(runtime, asked()))
    assert world.db.trips - 5 == 6, "one more checks the cited history against today's rights"


async def test_the_question_is_durable_before_the_model_is_called(
    world: Any, asked: Make, collect: Collect
) -> None:
    question = asked("Durable?")
    seen: list[str] = []

    async def before(index: int) -> None:
        seen.extend(m.text for m, _ in await messages(world, question))

    world.model.before = before
    world.model.script = [Delta(text="Yes.")]
    await collect(Run(world.runtime(), question))
    assert seen == ["Durable?"]


async def test_of_20_runs_on_one_session_at_once_one_answers_and_19_are_busy(
    world: Any, asked: Make, collect: Collect
) -> None:
    runtime = world.runtime()
    await runtime.warm()
    go = asyncio.Event()

    async def before(index: int) -> None:
        await go.wait()

    world.model.before = before
    runs = [asyncio.create_task(collect(Run(runtime, asked(f"q{i}")))) for i in range(20)]
    await until(lambda: sum(run.done() for run in runs) == 19)
    go.set()
    results = await asyncio.gather(*runs, return_exceptions=True)
    codes = [r.code for r in results if isinstance(r, Problem)]
    assert codes == ["SESSION_BUSY"] * 19
    assert [m.turn for m, _ in await messages(world, asked())] == [1, 1]
    assert not await busy(world, asked())


async def test_other_sessions_and_other_users_same_session_id_are_not_busy(
    world: Any, asked: Make, collect: Collect
) -> None:
    runtime = world.runtime()
    go = asyncio.Event()

    async def before(index: int) -> None:
        if len(world.model.requests) == 1:
            await go.wait()

    world.model.before = before
    first = asyncio.create_task(collect(Run(runtime, asked("mine"))))
    await until(lambda: bool(world.model.requests))
    await collect(Run(runtime, asked("other session", session_id="s2")))
    await collect(Run(runtime, asked("other user", user="u2")))
    go.set()
    await first
    assert (await messages(world, asked(user="u2")))[0][0].text == "other user"
    assert (await messages(world, asked()))[0][0].text == "mine"


async def test_a_crashed_runs_lease_ends_by_itself(world: Any, asked: Make, collect: Collect) -> None:
    runtime, question = world.runtime(), asked()
    await collect(Run(runtime, question))
    async with world.db.tenant(question.principal.tenant_id) as tx:
        await tx.execute("UPDATE agent.sessions SET busy_until = clock_timestamp() + interval '1 hour'")
    with pytest.raises(Problem, match="SESSION_BUSY"):
        await collect(Run(runtime, asked()))
    async with world.db.tenant(question.principal.tenant_id) as tx:
        await tx.execute("UPDATE agent.sessions SET busy_until = clock_timestamp() - interval '1 ms'")
    await collect(Run(runtime, asked()))
    assert [m.turn for m, _ in await messages(world, question)] == [1, 1, 2, 2]


async def test_a_long_run_keeps_its_lease(
    world: Any, asked: Make, collect: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("ragwork_agent.sessions.session_lease", "ragwork_agent.sessions.session_store"):
        monkeypatch.setattr(f"{module}.LEASE_S", 0.15)
    runtime = world.runtime()

    async def before(index: int) -> None:
        await asyncio.sleep(0.3)
        assert await busy(world, asked())

    world.model.before = before
    await collect(Run(runtime, asked()))


async def test_a_client_that_leaves_cancels_the_model_and_keeps_what_was_said(
    world: Any, asked: Make
) -> None:
    runtime, question = world.runtime(), asked()
    world.model.script = [Delta(text="So far "), Delta(text="never")]

    async def before(index: int) -> None:
        if index == 1:
            await asyncio.sleep(60)

    world.model.before = before
    frames = Run(runtime, question).frames()
    while (await anext(frames)).type != "token.delta":
        pass
    started = asyncio.get_running_loop().time()
    await frames.aclose()  # type: ignore[attr-defined]
    assert asyncio.get_running_loop().time() - started < 30
    assert world.model.closed == 1
    kept = [(m.text, m.status, m.finish_reason) for m, _ in await messages(world, question)]
    assert kept[1:] == [("So far ", "partial", None)]
    assert not await busy(world, question)
    [(_, event)] = world.events.seen
    assert (event.payload["status"], event.payload["estimated"]) == ("partial", True)


@pytest.mark.parametrize("at", range(12))
async def test_a_run_cancelled_at_any_step_leaves_the_session_free(world: Any, asked: Make, at: int) -> None:
    runtime = world.runtime()
    await runtime.warm()
    reader = asyncio.create_task(_drain(Run(runtime, asked()).frames()))
    for _ in range(at * 3):
        await asyncio.sleep(0)
    reader.cancel()
    with suppress(asyncio.CancelledError):
        await reader
    await runtime.tasks.finish()
    assert world.db.under_way == 0
    world.model.before = None
    assert (await _drain(Run(runtime, asked()).frames()))[-1].type == "message.final"


async def _drain(frames: Any, into: list[Any] | None = None) -> list[Any]:
    seen: list[Any] = [] if into is None else into
    async for frame in frames:
        seen.append(frame)  # noqa: PERF401  # what came before an exception must stay
    return seen


async def test_a_cancel_during_the_closing_commit_still_releases_the_turn(world: Any, asked: Make) -> None:
    runtime = world.runtime()
    closing = asyncio.Event()
    tenant = world.db.tenant

    def slow(tenant_id: str, mode: str = "write") -> Any:
        if world.model.closed:
            closing.set()
        return tenant(tenant_id, mode)

    world.db.tenant = slow
    reader = asyncio.create_task(_drain(Run(runtime, asked()).frames()))
    await closing.wait()
    reader.cancel()
    with suppress(asyncio.CancelledError):
        await reader
    await runtime.tasks.finish()
    world.db.tenant = tenant
    assert not await busy(world, asked())
    assert (await messages(world, asked()))[-1][0].status == "complete"


async def test_a_model_that_dies_in_mid_stream_leaves_a_partial_answer_and_its_error(
    world: Any, asked: Make, collect: Collect
) -> None:
    async def before(index: int) -> None:
        if index == 1:
            raise ProviderError("INTEGRATION_UNAVAILABLE", "gone")

    world.model.before = before
    frames: list[Any] = []
    with pytest.raises(ProviderError, match="gone"):
        await _drain(Run(world.runtime(), asked()).frames(), frames)
    assert [f.type for f in frames] == ["request.accepted", "token.delta"]
    assert [(m.text, m.status) for m, _ in await messages(world, asked())][1] == ("The gate ", "partial")
    assert not await busy(world, asked())


async def test_a_failed_retrieval_keeps_the_question_and_frees_the_session(
    world: Any, asked: Make, collect: Collect
) -> None:
    world.fail_retrieval = ProviderError("AWS_RETRIEVAL_ERROR", "no")
    with pytest.raises(ProviderError, match="AWS_RETRIEVAL_ERROR"):
        await collect(Run(world.runtime(), asked("kept?")))
    assert [m.text for m, _ in await messages(world, asked())] == ["kept?"]
    assert not await busy(world, asked())
    assert world.model.requests == []


async def test_a_missing_corpus_is_a_retrieval_config_error_and_costs_no_round_trip(
    world: Any, asked: Make, collect: Collect
) -> None:
    with pytest.raises(ProviderError, match="RETRIEVAL_CONFIG_INVALID"):
        await collect(Run(world.runtime(), asked(corpus_ids=("missing",))))
    assert world.db.trips == 0


async def test_history_enters_the_next_prompt_in_order_and_bounded(
    world: Any, asked: Make, collect: Collect
) -> None:
    runtime = world.runtime(max_history_messages=4)
    for number in range(4):
        await collect(Run(runtime, asked(f"question {number}")))
    said = [(m.role, m.content) for m in world.model.requests[-1].messages]
    assert said[0][0] == "system"
    assert said[1:-1] == [
        ("user", "question 1"), ("assistant", "The gate is green ."),
        ("user", "question 2"), ("assistant", "The gate is green ."),
    ]  # fmt: skip


async def test_history_that_rests_on_a_revoked_document_stays_out_even_at_second_hand(
    world: Any, asked: Make, collect: Collect
) -> None:
    runtime = world.runtime()
    world.model.script = [Delta(text="The secret is 42 [1].", cites=(ModelCitation(passage=1),))]
    await collect(Run(runtime, asked("first")))
    # The second answer cites nothing of d1, but was given with the first one before the model's eyes.
    world.found = [world.found[0].__class__(**{**attrs.asdict(world.found[0]), "document_id": "d2"})]
    world.model.script = [Delta(text="As I said, 42.")]
    await collect(Run(runtime, asked("second")))
    world.unreadable = {"d1"}
    await collect(Run(runtime, asked("third")))
    prompt = "\n".join(m.content for m in world.model.requests[-1].messages)
    assert "42" not in prompt
    assert "first" in prompt
    assert "second" in prompt


async def test_the_checkpoint_sums_a_session_and_holds_no_text(
    world: Any, asked: Make, collect: Collect
) -> None:
    runtime = world.runtime()
    for _ in range(3):
        run = Run(runtime, asked())
        await collect(run)
    assert run.answer is not None
    assert run.answer.turn == 3
    assert (run.answer.session.runs, run.answer.session.input_tokens) == (3, 21)
    async with world.db.tenant(asked().principal.tenant_id) as tx:
        stored = await tx.fetchval("SELECT checkpoint::text FROM agent.sessions")
    assert "gate" not in stored
    assert len(stored) < 2_000


async def test_a_partial_run_leaves_the_checkpoint_as_it_was(
    world: Any, asked: Make, collect: Collect
) -> None:
    runtime = world.runtime()
    await collect(Run(runtime, asked()))

    async def before(index: int) -> None:
        raise ProviderError("INTEGRATION_UNAVAILABLE", "gone")

    world.model.before = before
    with pytest.raises(ProviderError):
        await collect(Run(runtime, asked()))
    world.model.before = None
    run = Run(runtime, asked())
    await collect(run)
    assert run.answer is not None
    assert (run.answer.turn, run.answer.session.runs) == (3, 2)


async def test_a_grant_degrades_audio_top_k_provider_and_output(
    world: Any, asked: Make, collect: Collect
) -> None:
    degrade = ServiceLimits(audio=False, top_k=2, max_output_tokens=9, providers=("local_pgvector",))
    frames = await collect(Run(world.runtime(tts_provider="x"), asked(degrade=degrade, audio=True)))
    assert not [f for f in frames if f.type.startswith("audio")]
    assert world.queries[0].top_k == 2
    assert world.queries[0].options == {}
    assert (world.queries[0].shadow, world.queries[0].shadow_options) == (None, {})
    assert world.model.requests[0].max_output_tokens == 9


async def test_top_k_50_is_honoured(world: Any, asked: Make, collect: Collect) -> None:
    await collect(Run(world.runtime(), asked(top_k=50)))
    assert world.queries[0].top_k == 50


async def test_a_corpus_shadow_reaches_its_retriever(world: Any, asked: Make, collect: Collect) -> None:
    await collect(Run(world.runtime(), asked()))
    query = world.queries[0]
    assert (query.options, query.shadow, query.shadow_options) == ({"a": 1}, "other", {"b": 2})


async def test_a_deleted_session_is_not_brought_back_by_its_running_run(world: Any, asked: Make) -> None:
    runtime, question = world.runtime(), asked()

    async def before(index: int) -> None:
        async with world.db.tenant(question.principal.tenant_id) as tx:
            await session_store.delete_session(tx, SessionKey(user_id="u1", session_id="s1"))

    world.model.before = before
    frames = await _drain(Run(runtime, question).frames())
    assert frames[-1].type == "message.final"
    assert await messages(world, question) == []


@pytest.mark.parametrize(
    ("setting", "origin", "begins"),
    [
        (None, "http://127.0.0.1:8123", "http://127.0.0.1:8123/v1/audio/"),
        ("https://a.example", "http://127.0.0.1:8123", "https://a.example/v1/audio/"),
        ("https://a.example/", "", "https://a.example/v1/audio/"),
        ("https://a.example/v1", "", "https://a.example/v1/audio/"),
        ("https://a.example/rag/v1/", "", "https://a.example/rag/v1/audio/"),
        (None, "", "/v1/audio/"),
    ],
)
async def test_the_url_of_speech_is_where_the_caller_is_or_what_is_set(
    world: Any, asked: Make, collect: Collect, setting: str | None, origin: str, begins: str
) -> None:
    runtime = world.runtime(tts_provider="x", audio_base_url=setting)
    ready = (await collect(Run(runtime, asked(audio=True, origin=origin))))[-1]
    assert ready.data["audio_url"] == f"{begins}{ready.data['audio_id']}.mp3"


async def test_speech_is_kept_for_its_tenant_and_expires(world: Any, asked: Make, collect: Collect) -> None:
    runtime = world.runtime(tts_provider="x", audio_base_url="https://a.example/")
    frames = await collect(Run(runtime, asked(audio=True)))
    ready = frames[-1]
    assert ready.type == "audio.ready"
    audio_id = str(ready.data["audio_id"])
    assert ready.data["audio_url"] == f"https://a.example/v1/audio/{audio_id}.mp3"
    file = await runtime.voice.fetch(audio_id)
    assert (file.data[:3], file.mime) == (b"ID3", "audio/mpeg")
    for forged in (audio_id[:-2] + "AA", "A" + audio_id, "", "é", "x" * 9000, audio_id + "AAAA"):
        with pytest.raises(Problem, match="NOT_FOUND"):
            await runtime.voice.fetch(forged)
    world.unreadable = {"d1"}
    with pytest.raises(Problem, match="NOT_FOUND"):
        await runtime.voice.fetch(audio_id)
    world.unreadable = set()
    await runtime.voice.fetch(audio_id)
    world.clock.ahead_s = timedelta(days=365).total_seconds()
    with pytest.raises(Problem, match="NOT_FOUND"):
        await runtime.voice.fetch(audio_id)


async def test_deleting_a_session_erases_its_speech(world: Any, asked: Make, collect: Collect) -> None:
    runtime, question = world.runtime(tts_provider="x"), asked(audio=True)
    await collect(Run(runtime, question))
    assert world.blobs
    async with world.db.tenant(question.principal.tenant_id) as tx:
        await runtime.voice.forget(tx, SessionKey(user_id="u1", session_id="s1"))
    assert not world.blobs


@pytest.mark.parametrize(
    ("provider", "error", "code"),
    [
        ("none", None, "TTS_CONFIG_MISSING"),
        ("x", ProviderError("TTS_AUTH_ERROR", "key"), "TTS_AUTH_ERROR"),
        ("x", ProviderError("ODD", "?"), "TTS_ERROR"),
        ("x", ValueError("secret detail"), "TTS_ERROR"),
    ],
)
async def test_failed_speech_is_an_audio_error_after_a_whole_answer(
    world: Any, asked: Make, collect: Collect, provider: str, error: Exception | None, code: str
) -> None:
    world.speech = error
    frames = await collect(Run(world.runtime(tts_provider=provider), asked(audio=True)))
    assert [f.type for f in frames[-2:]] == ["message.final", "audio.error"]
    assert frames[-1].data["code"] == code
    assert "secret" not in str(frames[-1].data["message"])


async def test_a_slow_reader_holds_the_model_back(world: Any, asked: Make) -> None:
    world.model.script = [Delta(text="x")] * 5_000
    sent: list[int] = []

    async def before(index: int) -> None:
        sent.append(index)

    world.model.before = before
    frames = Run(world.runtime(), asked()).frames()
    while (await anext(frames)).type != "token.delta":
        pass
    await asyncio.sleep(0.05)
    assert len(sent) < 100
    await frames.aclose()  # type: ignore[attr-defined]


async def test_hostile_characters_reach_database_and_frames_harmlessly(
    world: Any, asked: Make, collect: Collect
) -> None:
    world.model.script = [Delta(text="a\x00b\x1b[31m\ud800c\r\n\ndata: x\u2028 [1]\x00")]
    frames = await collect(Run(world.runtime(), asked("ä\x01\u2028")))
    assert frames[-1].data["text"] == "ab[31m\ufffdc\r\n\ndata: x\u2028 [1]"


async def test_prompts_are_never_sent_to_a_tracing_service(
    world: Any, asked: Make, collect: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langsmith import utils

    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    utils.get_env_var.cache_clear()
    seen: list[bool | str] = []

    async def before(index: int) -> None:
        seen.append(utils.tracing_is_enabled())

    world.model.before = before
    try:
        await collect(Run(world.runtime(), asked()))
    finally:
        utils.get_env_var.cache_clear()
    assert set(seen) == {False}
