"""On booted platforms, over HTTP: exact under a race, honest to clients, shared by aliases and servers."""

import asyncio
import time

import pytest
from ragwork_testkit.platform import DEFAULT_PLUGINS
from ragwork_toolkit.bearer_tokens.format import TokenFormat

PLUGINS = (*DEFAULT_PLUGINS, "ratelimit")
WIDE = {"RL_TENANT_READ_RPS": "1000", "RL_TENANT_READ_BURST": "1000"}


async def test_racing_clients_get_the_bound_and_at_most_one_less(platform):
    rate, burst = 10.0, 20
    settings = {**WIDE, "RL_KEY_READ_RPS": str(rate), "RL_KEY_READ_BURST": str(burst)}
    async with platform(plugins=PLUGINS, settings=settings) as app:
        key = await app.key()
        end = time.monotonic() + 1.5
        seen = []

        async def client():
            while (sent := time.monotonic()) < end:
                answer = await app.call("GET", "/v1/corpora", key)
                assert answer.status in (200, 429)
                seen.append((sent, answer.status == 200, time.monotonic()))

        await asyncio.gather(*(client() for _ in range(20)))
        sent, admitted, done = zip(*seen, strict=True)
        # The bucket saw the first and the last request somewhere between sending and answering them.
        shortest, longest = max(sent) - min(done), max(done) - min(sent)
        assert burst + rate * shortest - 1 <= sum(admitted) <= burst + rate * longest


async def test_who_waits_as_long_as_told_is_let_in(platform):
    settings = {"RL_KEY_READ_RPS": "4", "RL_KEY_READ_BURST": "2"}
    async with platform(plugins=PLUGINS, settings=settings) as app:
        key = await app.key()
        waited = 0
        for _ in range(12):
            answer = await app.call("GET", "/v1/corpora", key)
            if answer.status == 429:
                waited += 1
                await asyncio.sleep(int(answer.headers["X-RateLimit-Retry-After-Ms"]) / 1000)
                assert (await app.call("GET", "/v1/corpora", key)).status == 200
        assert waited >= 5


async def test_a_refusal_is_the_contracts(platform):
    async with platform(plugins=PLUGINS, settings={"RL_KEY_MUTATION_BURST": "1"}) as app:
        key = await app.key()
        body = {"id": "c1", "name": "c1", "provider_config_json": {}}
        made = await app.call("POST", "/v1/corpora", key, json=body)
        assert made.headers["RateLimit-Policy"] == '"mutation-key";q=1;w=1, "mutation-tenant";q=25;w=5'
        assert made.headers["RateLimit"] == '"mutation-key";r=0;t=1, "mutation-tenant";r=24;t=1'
        refused = await app.call("POST", "/v1/corpora", key, json=body)
        assert (refused.status, refused.code) == (429, "RATE_LIMITED")
        details = refused.body["error"]["details"]
        assert (details["scope"], details["route_class"]) == ("api_key", "mutation")
        assert 0 < details["retry_after_ms"] <= 501
        assert refused.headers["X-RateLimit-Scope"] == "api_key"
        assert refused.headers["X-RateLimit-Route-Class"] == "mutation"
        assert refused.headers["X-RateLimit-Retry-After-Ms"] == str(details["retry_after_ms"])
        assert refused.headers["Retry-After"] == "1"
        assert refused.headers["RateLimit"].startswith('"mutation-key";r=0;t=1,')
        text = (await app.call("GET", "/v1/metrics")).text
        assert 'rate_limited_total{class="mutation"} 1.0' in text


async def test_every_answer_of_a_limited_request_tells_the_limits(platform):
    async with platform(plugins=PLUGINS, settings={}) as app:
        key = await app.key()
        missing = await app.call("GET", "/v1/corpora/missing", key)
        wrong = await app.call("POST", "/v1/corpora", key, json={"id": 1})
        public = await app.call("GET", "/v1/openapi.json")
        probe = await app.call("GET", "/v1/health")
        assert (missing.status, wrong.status, public.status, probe.status) == (404, 422, 200, 200)
        assert missing.headers["RateLimit"].startswith('"read-key";r=19;t=1,')
        assert wrong.headers["RateLimit"].startswith('"mutation-key";r=9;t=1,')
        assert public.headers["RateLimit"] == '"public-address";r=99;t=1'
        assert "RateLimit" not in probe.headers
        await app.call("POST", "/v1/corpora", key, json={"id": "c1", "name": "c", "provider_config_json": {}})
        run = {"session_id": "s", "corpus_id": "c1", "message": "What is it?"}
        streamed = await app.call("POST", "/v1/run", key, json=run)
        assert streamed.status == 200
        assert streamed.headers["RateLimit-Policy"] == '"run-key";q=1;w=3, "run-tenant";q=5;w=5'


async def test_a_legacy_alias_draws_from_the_same_bucket(platform):
    settings = {"RL_KEY_READ_BURST": "4", "RL_KEY_READ_RPS": "0.01"}
    async with platform(plugins=PLUGINS, settings=settings) as app:
        key = await app.key()
        paths = ["/v1/corpora", "/corpora", "/v1/documents", "/documents", "/corpora", "/v1/corpora"]
        assert [(await app.call("GET", path, key)).status for path in paths] == [200] * 4 + [429] * 2
        refused = await app.call("GET", "/corpora", key)
        assert refused.body["detail"]["code"] == "RATE_LIMITED"
        assert refused.body["detail"]["route_class"] == "read"
        assert refused.body["detail"]["scope"] == "api_key"


async def test_an_address_that_fails_too_often_is_refused_before_its_credential_is_looked_at(platform):
    settings = {"RL_ADDRESS_FAILURES_BURST": "5", "RL_ADDRESS_FAILURES_RPS": "2"}
    async with platform(plugins=PLUGINS, settings=settings) as app:
        key = await app.key()
        statuses = [(await app.call("GET", "/v1/corpora", "nrgk_no_such")).status for _ in range(8)]
        assert statuses == [401] * 5 + [429] * 3
        refused = await app.call("GET", "/v1/corpora", "nrgk_no_such")
        assert (refused.status, refused.body["error"]["details"]["scope"]) == (429, "address")
        assert (await app.call("GET", "/v1/health")).status == 200
        await asyncio.sleep(int(refused.headers["X-RateLimit-Retry-After-Ms"]) / 1000)
        assert (await app.call("GET", "/v1/corpora", key)).status == 200


FLOODED = {"RL_ADDRESS_FAILURES_BURST": "5", "RL_ADDRESS_FAILURES_RPS": "0.1"}


@pytest.mark.parametrize("header", ["Authorization", "X-Our-Key"])
async def test_a_flood_of_bad_keys_shuts_out_no_key_of_its_address(platform, header):
    async with platform(plugins=PLUGINS, settings={**FLOODED, "AUTH_API_KEY_HEADER": header}) as app:
        key, unused, revoked = await app.key(), await app.key(), await app.key()

        async def get(sent):
            return (await app.call("GET", "/v1/corpora", headers={header: f"Bearer {sent}"})).status

        assert [await get(key), await get(revoked)] == [200, 200]
        bad = "nrgk_0123456789abcdef_" + "x" * 49
        assert [await get(bad) for _ in range(20)][-1] == 429
        assert await get(key) == 200
        # A key that nobody has sent here yet is looked up once; then it has proved itself.
        assert [await get(unused) for _ in range(10)] == [200] * 10
        # One that is good no more is a failure like any other, and then it waits.
        await app.command("keys", "revoke", key_id=revoked.split("_")[1])
        assert [await get(revoked) for _ in range(3)] == [401, 401, 429]


async def test_who_computes_checksums_gets_few_guesses_and_nothing_on_public_routes(platform):
    made_up = TokenFormat("nrgk_")
    async with platform(plugins=PLUGINS, settings=FLOODED) as app:

        async def guess(path="/v1/corpora"):
            return (await app.call("GET", path, made_up.mint()[1])).status

        statuses = [await guess() for _ in range(60)]
        assert 5 + 10 <= statuses.count(401) <= 5 + 10 + 10
        assert set(statuses) == {401, 429}
        assert {await guess("/v1/openapi.json") for _ in range(5)} == {429}


async def test_a_refused_run_leaves_no_trace_and_zero_means_closed(platform):
    settings = {"RL_TENANT_RUN_BURST": "0"}
    async with platform(plugins=PLUGINS, settings=settings) as app:
        key = await app.key()
        refused = await app.call("POST", "/v1/run", key, json={"not": "looked at"})
        assert (refused.status, refused.body["error"]["details"]) == (
            429,
            {"scope": "tenant", "route_class": "run", "retry_after_ms": None},
        )
        assert "Retry-After" not in refused.headers


async def test_switched_off_it_neither_limits_nor_tells(platform):
    async with platform(plugins=PLUGINS, settings={"RATE_LIMIT_ENABLED": "false"}) as app:
        key = await app.key()
        answers = await asyncio.gather(*(app.call("GET", "/v1/corpora", key) for _ in range(100)))
        assert {answer.status for answer in answers} == {200}
        assert not any("RateLimit" in answer.headers for answer in answers)
