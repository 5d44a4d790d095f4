"""What the agent does wrong, and what reaches it. Its HTTP layer is ours, its engine its own where it is installed."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ragwork_hooks.errors import ProviderError
from ragwork_kernel.base.egress import EgressClient
from ragwork_opa.client import OpaClient
from ragwork_opa.config import OpaConfig
from ragwork_opa.engine import OpaEngine
from ragwork_testkit.opa_server import How, OpaServer, serving
from ragwork_testkit.policy_engine import HOSTILE_IDS, READ, READERS, UNAVAILABLE, WRITE, allowing, policy
from ragwork_testkit.services import ProviderServices
from ragwork_testkit.tcpproxy import between

PLUGINS = Path(__file__).parents[2]


@pytest.fixture
async def server() -> AsyncIterator[OpaServer]:
    async with serving("secret") as server:
        yield server


@pytest.fixture
async def egress() -> AsyncIterator[EgressClient]:
    egress = EgressClient(["127.0.0.1/32"])
    yield egress
    await egress.close()


@pytest.fixture
def engine(server: OpaServer, egress: EgressClient) -> OpaEngine:
    return opened(egress, server.url)


def opened(egress: EgressClient, url: str, token: str = "secret", modules: int = 10) -> OpaEngine:
    config = OpaConfig(url=url, token=token, timeout_s=0.5, modules=modules)
    places = ProviderServices().shares("questions", 32, waiting=3_000)
    return OpaEngine(OpaClient(egress, config), config.modules, places)


async def allows(engine: OpaEngine, source: str = READERS, question: object = READ) -> bool:
    assert isinstance(question, dict)
    (decision,) = await engine.decide("t1", [policy(source)], question)
    return decision.allowed


async def test_a_known_policy_costs_one_call(engine: OpaEngine, server: OpaServer) -> None:
    await engine.load("t1", [policy(READERS)])
    server.calls.clear()
    assert await allows(engine)
    assert [call.partition(" ")[0] for call in server.calls] == ["POST"]


async def test_an_agent_that_restarted_empty_is_told_again_and_asked_again(
    engine: OpaEngine, server: OpaServer
) -> None:
    assert await allows(engine)
    await server.restart_empty()
    server.calls.clear()
    assert await allows(engine)
    assert not await allows(engine, question=WRITE)
    assert [call.partition(" ")[0] for call in server.calls] == ["POST", "PUT", "POST", "POST"]


async def test_many_who_find_the_agent_empty_tell_it_once(engine: OpaEngine, server: OpaServer) -> None:
    assert await allows(engine)
    await server.restart_empty()
    server.calls.clear()
    assert all(await asyncio.gather(*(allows(engine) for _ in range(100))))
    assert len([call for call in server.calls if call.startswith("PUT")]) == 1


async def test_an_agent_that_forgets_what_it_is_told_decides_nothing(
    engine: OpaEngine, server: OpaServer
) -> None:
    server.how = "forgetful"
    with pytest.raises(ProviderError) as caught:
        await allows(engine)
    assert caught.value.code == UNAVAILABLE
    assert [call.partition(" ")[0] for call in server.calls] == ["PUT", "POST", "PUT", "POST"]


@pytest.mark.parametrize("how", ["stall", "garbage", "unauthorized", "failing", "wrong revision"])
async def test_an_agent_that_misbehaves_is_unavailable_and_never_allows(
    engine: OpaEngine, server: OpaServer, how: How
) -> None:
    assert await allows(engine)
    server.how = how
    for source in (READERS, allowing("db:read")):
        with pytest.raises(ProviderError) as caught:
            await allows(engine, source)
        assert caught.value.code == UNAVAILABLE
    server.how = "well"
    assert await allows(engine)


async def test_a_wrong_token_is_said_and_not_retried(server: OpaServer, egress: EgressClient) -> None:
    with pytest.raises(ProviderError, match="OPA_TOKEN") as caught:
        await allows(opened(egress, server.url, token="other"))
    assert not caught.value.retryable


async def test_nobody_at_the_address_and_cut_connections_are_unavailable(
    server: OpaServer, egress: EgressClient
) -> None:
    async with between(server.url) as network:
        engine = opened(egress, network.url)
        assert await allows(engine)
        for mode in ("reset", "half_open", "blackhole"):
            network.mode = mode
            with pytest.raises(ProviderError) as caught:
                await allows(engine)
            assert caught.value.code == UNAVAILABLE
            assert caught.value.retryable
        network.mode = "pass"
        assert await allows(engine)
    with pytest.raises(ProviderError):
        await allows(engine)


@pytest.mark.parametrize("identifier", HOSTILE_IDS, ids=range(len(HOSTILE_IDS)))
async def test_no_character_of_an_id_reaches_a_path_or_package(
    engine: OpaEngine, server: OpaServer, identifier: str
) -> None:
    await engine.decide(identifier, [policy(READERS, identifier)], READ)
    name = r"ragwork/policies/t[0-9a-f]{32}/p[0-9a-f]{32}"
    for call in server.calls:
        assert re.fullmatch(rf"PUT /v1/policies/{name}|POST /v1/data/{name}/ragwork_answer", call)
    assert re.match(r"package ragwork\.policies\.t[0-9a-f]{32}\.p[0-9a-f]{32}\nimport rego\.v1\n",
                    next(iter(server.modules.values())))  # fmt: skip


async def test_a_check_leaves_nothing_behind(engine: OpaEngine, server: OpaServer) -> None:
    await engine.check(READERS)
    await engine.check("package oculus.authz\nallow { input.a }")
    assert server.modules == {}


async def test_the_agent_keeps_no_more_than_it_is_allowed(engine: OpaEngine, server: OpaServer) -> None:
    for n in [*range(15), *range(15)]:
        (decision,) = await engine.decide("t1", [policy(allowing(f"a{n}"), f"p{n}")], {"action": f"a{n}"})
        assert decision.allowed
    assert len(server.modules) == 10


async def test_two_processes_with_little_room_take_turns(server: OpaServer, egress: EgressClient) -> None:
    one, other = opened(egress, server.url), opened(egress, server.url)

    async def decide(engine: OpaEngine, n: int) -> bool:
        asked = policy(allowing(f"a{n}"), f"p{n}")
        (decision,) = await engine.decide("t1", [asked], {"action": f"a{n}"})
        return decision.allowed

    for n in range(12):
        assert await decide(one, n)
        assert await decide(other, n * 7 % 12)
