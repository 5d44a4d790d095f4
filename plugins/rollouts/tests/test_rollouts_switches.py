"""Switches and canaries: who may set them, what they stop, and how soon everywhere."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from ragwork_hooks.admission import Admission, AdmissionRequest
from ragwork_hooks.authz import Deny
from ragwork_rollouts.config import RolloutsConfig
from ragwork_rollouts.gates import FeatureGate, SwitchGate
from ragwork_rollouts.store import ControlStore
from ragwork_testkit import admission

PLUGINS = ("directory", "apikeys", "rbac", "rollouts")
SWITCHES = "/v1/admin/rollouts/killswitches"
CANARY = "/v1/admin/rollouts/canary"
ON = {
    "kill.run": False, "kill.ingest": False, "kill.tts": False, "kill.external_retrieval": False,
    "kill.notifications": False,
}  # fmt: skip
ALL = {"rollout.tts": 100, "rollout.external_retrieval": 100}


@pytest_asyncio.fixture
async def app(platform: Callable[..., Any]) -> AsyncIterator[Any]:
    async with platform(plugins=PLUGINS) as running:
        yield running


def store_of(app: Any, **defaults: Any) -> ControlStore:
    # Its cache is the plugin's own: one of a name in a process.
    return ControlStore(app.platform.facades["rollouts"], RolloutsConfig(**defaults))


def asked(*, switch: str | None = None, feature: str | None = None, tenant: str = "t1") -> AdmissionRequest:
    return admission.asked(admission.caller(tenant), rate_class="run", switch=switch, feature=feature)


async def stopped_by(app: Any, request: AdmissionRequest) -> object:
    """What the gates say stopped it; ``None`` when it may go on."""
    for gate in (SwitchGate(store_of(app)), FeatureGate(store_of(app))):
        verdict = await gate.admit(request)
        if isinstance(verdict, Deny):
            assert verdict.code == "FEATURE_TEMPORARILY_DISABLED"
            assert int(verdict.headers["Retry-After"]) > 0
            return verdict.details["switch"]
        assert isinstance(verdict, Admission)
    return None


async def test_only_platform_scope_sees_and_sets_them(app: Any) -> None:
    admin, operator = await app.key("t1"), await app.key("t1", platform=True)
    for path, body in (
        (SWITCHES, {"kill_switches": {"kill.run": True}}),
        (CANARY, {"canary_percentages": {}}),
    ):
        for refused in (
            await app.call("GET", path, admin),
            await app.call("PATCH", path, admin, json=body),
        ):
            assert (refused.status, refused.code) == (403, "AUTH_FORBIDDEN")
    assert (await app.call("GET", SWITCHES, operator)).data == {"kill_switches": ON}
    assert (await app.call("GET", CANARY, operator)).data == {"canary_percentages": ALL}


async def test_patching_sets_what_is_named_and_passes_over_what_is_unknown(app: Any) -> None:
    operator = await app.key("t1", platform=True)
    patched = await app.call(
        "PATCH", SWITCHES, operator, json={"kill_switches": {"kill.run": True, "kill.nothing": "x"}}
    )
    assert (patched.status, patched.data) == (200, {"kill_switches": ON | {"kill.run": True}})
    assert (await app.call("GET", SWITCHES, operator)).data == patched.data
    again = await app.call("PATCH", SWITCHES, operator, json={"kill_switches": {"kill.tts": True}})
    assert again.data == {"kill_switches": ON | {"kill.run": True, "kill.tts": True}}
    canary = await app.call("PATCH", CANARY, operator, json={"canary_percentages": {"rollout.tts": 5}})
    assert canary.data == {"canary_percentages": ALL | {"rollout.tts": 5}}


@pytest.mark.parametrize(
    ("given", "stored"), [(0, 0), (100, 100), (-3, 0), (101, 100), (10**30, 100), (-1e300, 0), (7.0, 7)]
)
async def test_percentages_are_clamped(app: Any, given: float, stored: int) -> None:
    operator = await app.key("t1", platform=True)
    answer = await app.call("PATCH", CANARY, operator, json={"canary_percentages": {"rollout.tts": given}})
    assert answer.data["canary_percentages"]["rollout.tts"] == stored


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (CANARY, '{"canary_percentages": {"rollout.tts": NaN}}'),
        (CANARY, '{"canary_percentages": {"rollout.tts": Infinity}}'),
        (CANARY, '{"canary_percentages": {"rollout.tts": 1e999}}'),
        (CANARY, '{"canary_percentages": {"rollout.tts": true}}'),
        (CANARY, '{"canary_percentages": {"rollout.tts": "5"}}'),
        (CANARY, '{"canary_percentages": {"rollout.tts": 5.5}}'),
        (CANARY, '{"canary_percentages": {"rollout.tts": null}}'),
        (CANARY, '{"canary_percentages": {"rollout.tts": 5, "rollout.external_retrieval": []}}'),
        (CANARY, '{"canary_percentages": {"kill.run": 5}}'),
        (CANARY, '{"canary_percentages": {}}'),
        (CANARY, '{"canary_percentages": []}'),
        (CANARY, "{}"),
        (SWITCHES, '{"kill_switches": {"kill.run": 1}}'),
        (SWITCHES, '{"kill_switches": {"kill.run": "true"}}'),
        (SWITCHES, '{"kill_switches": {"kill.run": null}}'),
        (SWITCHES, '{"kill_switches": {"kill.tts": true, "kill.run": 0}}'),
        (SWITCHES, '{"kill_switches": {"kill.everything": true}}'),
        (SWITCHES, '{"kill_switches": {"rollout.tts": true}}'),
        (SWITCHES, '{"kill_switches": {}}'),
    ],
)
async def test_bad_values_change_nothing(app: Any, path: str, text: str) -> None:
    operator = await app.key("t1", platform=True)
    refused = await app.call("PATCH", path, operator, data=text, headers={"Content-Type": "application/json"})
    assert refused.status == 422, refused.text
    assert (await app.call("GET", SWITCHES, operator)).data == {"kill_switches": ON}
    assert (await app.call("GET", CANARY, operator)).data == {"canary_percentages": ALL}


@pytest.mark.parametrize(
    ("switch", "ask"),
    [
        ("kill.run", {"switch": "run"}),
        ("kill.ingest", {"switch": "ingest"}),
        ("kill.notifications", {"switch": "notifications"}),
        ("kill.tts", {"feature": "tts"}),
        ("kill.external_retrieval", {"feature": "retrieval.aws_bedrock_kb"}),
        ("kill.external_retrieval", {"feature": "retrieval.gcp_vertex"}),
        ("kill.external_retrieval", {"feature": "retrieval.acme"}),
    ],
)
async def test_each_switch_stops_its_own_and_nothing_else(app: Any, switch: str, ask: Any) -> None:
    operator = await app.key("t1", platform=True)
    others = [
        asked(), asked(switch="unheard_of"), asked(feature="retrieval.local_pgvector"),
        asked(feature="audit_access"), *(asked(switch=s.partition(".")[2]) for s in ON if s != switch),
    ]  # fmt: skip
    assert await stopped_by(app, asked(**ask)) is None
    await app.call("PATCH", SWITCHES, operator, json={"kill_switches": {switch: True}})
    assert await stopped_by(app, asked(**ask)) == switch
    assert [await stopped_by(app, other) for other in others] == [None] * len(others)
    await app.call("PATCH", SWITCHES, operator, json={"kill_switches": {switch: False}})
    assert await stopped_by(app, asked(**ask)) is None


async def test_a_canary_stops_the_tenants_it_has_not_reached(app: Any) -> None:
    operator = await app.key("t1", platform=True)
    tenants = [f"t{n}" for n in range(50)]

    async def reached(percentage: int) -> set[str]:
        body = {"canary_percentages": {"rollout.tts": percentage}}
        await app.call("PATCH", CANARY, operator, json=body)
        verdicts = {t: await stopped_by(app, asked(feature="tts", tenant=t)) for t in tenants}
        assert set(verdicts.values()) <= {None, "rollout.tts"}
        return {t for t, verdict in verdicts.items() if verdict is None}

    assert await reached(0) == set()
    some = await reached(30)
    assert set() < some < set(tenants)
    assert some < await reached(70)
    assert await reached(30) == some
    assert await reached(100) == set(tenants)


async def test_a_flip_reaches_the_other_process_within_a_second_and_stays(
    app: Any, platform: Callable[..., Any]
) -> None:
    operator = await app.key("t1", platform=True)
    async with platform(plugins=PLUGINS, database_url=app.database_url) as far:
        for killed in (True, False, True):
            await stopped_by(far, asked(switch="run"))  # warm
            patched = await app.call(
                "PATCH", SWITCHES, operator, json={"kill_switches": {"kill.run": killed}}
            )
            assert patched.status == 200
            wanted = "kill.run" if killed else None
            assert await stopped_by(app, asked(switch="run")) == wanted  # at once where it was set
            started = time.monotonic()
            while await stopped_by(far, asked(switch="run")) != wanted:
                assert time.monotonic() - started < 1.0
                await asyncio.sleep(0.01)
    # A process that starts later knows it too: it is in the database, not in shared state.
    async with platform(plugins=PLUGINS, database_url=app.database_url) as later:
        assert await stopped_by(later, asked(switch="run")) == "kill.run"


async def test_what_was_set_outweighs_the_setting(platform: Callable[..., Any]) -> None:
    settings = {"KILL_RUN": "true", "ROLLOUT_TTS_PCT": "40"}
    async with platform(plugins=PLUGINS, settings=settings) as app:
        operator = await app.key("t1", platform=True)
        assert (await app.call("GET", SWITCHES, operator)).data["kill_switches"]["kill.run"] is True
        assert (await app.call("GET", CANARY, operator)).data["canary_percentages"]["rollout.tts"] == 40
        await app.call("PATCH", SWITCHES, operator, json={"kill_switches": {"kill.run": False}})
        await app.call("PATCH", CANARY, operator, json={"canary_percentages": {"rollout.tts": 60}})
        assert (await app.call("GET", SWITCHES, operator)).data["kill_switches"]["kill.run"] is False
        assert (await app.call("GET", CANARY, operator)).data["canary_percentages"]["rollout.tts"] == 60


async def test_concurrent_patches_of_the_same_switches_all_succeed(app: Any) -> None:
    operator = await app.key("t1", platform=True)
    names = list(ON)

    async def patch(n: int) -> int:
        turned = names[n % 5 :] + names[: n % 5]
        body = {"kill_switches": dict.fromkeys(turned, n % 2 == 0)}
        return int((await app.call("PATCH", SWITCHES, operator, json=body)).status)

    assert set(await asyncio.gather(*(patch(n) for n in range(30)))) == {200}
    left = (await app.call("GET", SWITCHES, operator)).data["kill_switches"]
    assert len(set(left.values())) == 1  # one patch won as a whole
