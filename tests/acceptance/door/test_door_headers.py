"""Limits stand in the headers of every kind of answer: JSON, streams, 204, files, replays, refusals."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from doorkit import LIMITED, QUOTA_HEADERS, Tenant, opened, verdict
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import Answer, Running

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(postgres: PostgresServer) -> AsyncIterator[Running]:
    roomy = {f"RL_{who}_{what}_BURST": "900" for who in ("KEY", "TENANT") for what in ("RUN", "MUTATION")}
    async with opened(postgres, {**LIMITED, **roomy, "TTS_PROVIDER": "fake"}) as running:
        yield running


def limits(answer: Answer) -> dict[str, str]:
    """The quota's headers; fails when one is missing, or when the rate limit's are."""
    assert answer.headers["RateLimit-Policy"], answer.headers
    assert answer.headers["RateLimit"]
    return {name: answer.headers[name] for name in QUOTA_HEADERS}


async def test_every_success_tells_the_same_standing(app: Running) -> None:
    tenant = await Tenant.of(app)
    key = await tenant.key()
    await tenant.limit(daily_requests_limit=1000, monthly_requests_limit=5000)
    used = 0

    def charged(answer: Answer, status: int, units: int) -> None:
        nonlocal used
        used += units
        assert answer.status == status, answer.text
        told = limits(answer)
        assert told["X-Quota-Day-Limit"] == "1000"
        assert told["X-Quota-Month-Limit"] == "5000"
        assert (told["X-Quota-Day-Used"], told["X-Quota-Day-Remaining"]) == (str(used), str(1000 - used))
        assert (told["X-Quota-Month-Used"], told["X-Quota-Month-Remaining"]) == (str(used), str(5000 - used))
        assert (told["X-Quota-SoftCap-Reached"], told["X-Quota-HardCap-Mode"]) == ("false", "enforce")

    charged(await tenant.corpus(key, Idempotency_Key="k"), 201, 1)
    replayed = await tenant.corpus(key, Idempotency_Key="k")
    assert replayed.headers["Idempotency-Replayed"] == "true"
    charged(replayed, 201, 0)
    charged(await app.call("GET", "/v1/corpora", key), 200, 1)
    charged(await app.call("GET", "/corpora", key), 200, 1)
    stream = await tenant.run(key)
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    charged(stream, 200, 3)
    charged(await tenant.run(key, Accept="application/json"), 200, 3)
    charged(await tenant.document(key), 202, 1)
    session = (await app.call("GET", "/v1/sessions", key)).data[0]["id"]
    used += 1
    charged(await app.call("DELETE", f"/v1/sessions/{session}", key), 204, 1)
    assert await tenant.used() >= used


async def test_every_refusal_after_the_limiter_tells_it_and_one_after_the_quota_both(app: Running) -> None:
    tenant = await Tenant.of(app)
    key = await tenant.key()
    assert (await tenant.corpus(key)).status == 201
    for method, path, status in (
        ("GET", "/v1/documents/none", 404),
        ("PATCH", "/v1/corpora/none", 422),
        ("POST", "/v1/corpora", 422),
    ):
        answer = await app.call(method, path, key, json={"no": 1} if method != "GET" else None)
        assert answer.status == status
        assert answer.headers["RateLimit"], path
    conflict = await tenant.corpus(key)
    assert conflict.status == 409
    assert conflict.headers["X-Quota-Day-Limit"] == "unlimited"
    await tenant.limit(daily_requests_limit=0)
    for refused in (
        await app.call("GET", "/v1/corpora", key),
        await app.call("GET", "/corpora", key),
        await tenant.run(key),
        await tenant.corpus(key, "c2"),
    ):
        assert verdict(refused) == (402, "QUOTA_EXCEEDED")
        told = limits(refused)
        assert (told["X-Quota-Day-Limit"], told["X-Quota-Day-Remaining"]) == ("0", "0")
        assert told["X-Quota-SoftCap-Reached"] == "true"
    details = refused.body["error"]["details"]
    assert (details["period"], details["limit"], details["remaining"]) == ("day", 0, 0)


async def test_a_file_for_anybody_tells_the_limit_of_its_address(app: Running) -> None:
    tenant = await Tenant.of(app)
    key = await tenant.key()
    await tenant.corpus(key)
    body = {"session_id": "s", "corpus_id": "c1", "message": "Say it.", "audio": True}
    events = await app.events("/v1/run", key, body)
    (ready,) = [event for event in events if event.type == "audio.ready"]
    answer = await app.call("GET", f"/v1/audio/{ready.data['audio_id']}.mp3")
    assert (answer.status, answer.headers["Content-Type"]) == (200, ready.data["mime"])
    assert answer.headers["RateLimit"].startswith('"public-address"')
    # Whose quota it would be is nobody's business.
    assert not [name for name in QUOTA_HEADERS if name in answer.headers]


async def test_every_answer_tells_the_platforms_own_time(app: Running) -> None:
    tenant = await Tenant.of(app)
    key = await tenant.key()
    for answer in (
        await tenant.corpus(key),
        await app.call("GET", "/v1/corpora", key),
        await tenant.run(key),
        await app.call("GET", "/v1/corpora/none", key),
        await app.call("GET", "/v1/corpora"),
    ):
        assert answer.headers["Server-Timing"].startswith("decide;dur="), answer.status
