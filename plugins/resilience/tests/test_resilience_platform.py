"""On a booted platform, over HTTP: runs wait and are refused, no place is lost, stand-ins answer."""

import asyncio

import aiohttp
import pytest
from ragwork_hooks.errors import ConfigError
from ragwork_testkit import openai_server
from ragwork_testkit.platform import DEFAULT_PLUGINS

PLUGINS = (*DEFAULT_PLUGINS, "openai", "resilience")


def gate(app):
    (found,) = [g for g in app.platform.plan.admission_gates["capacity"] if g.name == "resilience.runs"]
    return found


def run(session, corpus="c1"):
    return {"session_id": session, "corpus_id": corpus, "message": "What runs before a release?"}


async def corpus(app, key):
    await app.call("POST", "/v1/corpora", key, json={"id": "c1", "name": "c1", "provider_config_json": {}})


async def test_runs_wait_their_turn_and_then_are_busy(platform, kit):
    settings = {"RUN_MAX_CONCURRENCY": "2", "RUN_BULKHEAD_WAIT_MS": "300", "FAKE_TOKEN_DELAY_MS": "10"}
    async with platform(plugins=PLUGINS, settings=settings) as app:
        key = await app.key()
        await corpus(app, key)
        answers = await asyncio.gather(
            *(app.call("POST", "/v1/run", key, json=run(f"s{n}")) for n in range(8))
        )
        busy = [a for a in answers if a.status == 503]
        assert {a.status for a in answers} == {200, 503}
        assert {(a.code, a.headers["Retry-After"]) for a in busy} == {("SERVICE_BUSY", "1")}
        assert all('"done"' in a.text or "event: done" in a.text for a in answers if a.status == 200)
        await kit.until(lambda: not gate(app).shares.held)
        later = await app.call("POST", "/v1/run", key, json=run("later"))
        assert later.status == 200


async def test_a_hundred_clients_that_leave_leave_no_place_taken(platform, kit):
    settings = {"RUN_MAX_CONCURRENCY": "5", "FAKE_TOKEN_DELAY_MS": "5", "RUN_BULKHEAD_WAIT_MS": "500"}
    async with platform(plugins=PLUGINS, settings=settings) as app:
        key = await app.key()
        await corpus(app, key)
        headers = {"Authorization": f"Bearer {key}"}

        async def attempt_permit(number):
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
                async with asyncio.timeout(0.005 + (number % 25) * 0.02):
                    async with session.post(
                        app.base + "/v1/run", json=run(f"s{number}"), headers=headers
                    ) as reply:
                        async for _ in reply.content:
                            pass

        await asyncio.gather(*(attempt_permit(number) for number in range(100)), return_exceptions=True)
        await kit.until(lambda: not gate(app).shares.held)
        assert gate(app).shares.waiting == 0
        answers = await asyncio.gather(
            *(app.call("POST", "/v1/run", key, json=run(f"after{n}")) for n in range(5))
        )
        assert [a.status for a in answers] == [200] * 5


async def test_a_tenant_that_takes_every_place_delays_another_by_one_run(platform, kit):
    settings = {"RUN_MAX_CONCURRENCY": "2", "RUN_BULKHEAD_WAIT_MS": "0", "FAKE_TOKEN_DELAY_MS": "10"}
    async with platform(plugins=PLUGINS, settings=settings) as app:
        greedy, modest = await app.key("greedy", role="editor"), await app.key("modest", role="editor")
        await corpus(app, greedy)
        await corpus(app, modest)
        over, answers = asyncio.Event(), []

        async def keep_running(worker):
            number = 0
            while not over.is_set():
                number += 1
                answers.append(await app.call("POST", "/v1/run", greedy, json=run(f"g{worker}-{number}")))

        crowd = [asyncio.create_task(keep_running(worker)) for worker in range(6)]
        await kit.until(lambda: gate(app).shares.held == 2)
        for number in range(4):
            answer = await app.call("POST", "/v1/run", modest, json=run(f"m{number}"))
            assert answer.status == 200, answer.text
        over.set()
        await asyncio.gather(*crowd)
        # The surplus is refused at once, as the operator set it, and says whose places they are.
        busy = [a for a in answers if a.status == 503]
        assert busy
        assert {a.code for a in busy} == {"SERVICE_BUSY"}
        await kit.until(lambda: not gate(app).shares.held)


@pytest.mark.parametrize("body", [{}, {"session_id": 1}, run("s", corpus="missing")])
async def test_a_run_that_is_refused_or_fails_gives_its_place_back(platform, kit, body):
    async with platform(plugins=PLUGINS, settings={"RUN_MAX_CONCURRENCY": "1"}) as app:
        key = await app.key()
        for _ in range(3):
            await app.call("POST", "/v1/run", key, json=body)
        await kit.until(lambda: not gate(app).shares.held)


async def test_a_dead_model_is_replaced_as_the_operator_said_and_metrics_have_their_names(platform):
    async with openai_server.serving() as server:
        for _ in range(20):
            server.fail("status", status=500)
        settings = {
            "LLM_PROVIDER": "openai",
            "LLM_FALLBACK": "fake",
            "OPENAI_API_KEY": openai_server.KEY,
            "OPENAI_BASE_URL": server.base_url,
            "EXT_RETRY_BACKOFF_MS": "1",
            "CB_FAILURE_THRESHOLD": "2",
        }
        async with platform(plugins=PLUGINS, settings=settings) as app:
            key = await app.key()
            await corpus(app, key)
            for number in range(3):
                events = await app.events("/v1/run", key, run(f"s{number}"))
                assert events[-1].type == "done"
                assert "error" not in {event.type for event in events}
            assert len(server.requests) == 2
            text = (await app.call("GET", "/v1/metrics")).text
    for line in (
        'integrations_provider_retries_total{service="openai"} 1.0',
        'integrations_provider_cb_open_total{service="openai"} 1.0',
        'integrations_provider_latency_seconds_count{service="openai"} 2.0',
        'integrations_provider_fallbacks_total{instead="fake",service="openai"} 3.0',
    ):
        assert f"\n{line}\n" in text


async def test_an_unknown_stand_in_stops_the_boot(platform):
    with pytest.raises(ConfigError, match="fakee"):
        async with platform(plugins=PLUGINS, settings={"LLM_FALLBACK": "fakee"}):
            pass
