"""A policy is bounded by the operating system, and costs its own decision at most."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from ragwork_hooks.policy import PolicySourceError
from ragwork_hooks.providers import ProviderContext
from ragwork_hooks.services import Services
from ragwork_rego.config import RegoConfig
from ragwork_rego.engine import RegoEngine, open_engine
from ragwork_testkit.policy_engine import HEAD, LOOP, READ, READERS, allowing, policy
from ragwork_testkit.services import ProviderServices

#: Takes some ten milliseconds.
SLOW = HEAD + "allow if count([x | some x in numbers.range(1, input.n); x % 7 == 0]) > 0\n"
#: Doubles its array until there is no memory, in C loops that take little time.
HUNGRY = HEAD + "".join(
    f"a{n} := array.concat(a{n - 1}, a{n - 1})\n" if n else "a0 := numbers.range(1, 1000)\n" for n in range(30)
) + "allow if count(a29) > input.n\n"  # fmt: skip


@pytest.fixture
async def engine() -> AsyncIterator[RegoEngine]:
    config = RegoConfig(workers=2, cpu_ms=100, memory_mb=256, timeout_s=10.0)
    services = cast("Services", ProviderServices())
    engine = await open_engine(ProviderContext(services=services, config=config))
    yield engine
    await engine.aclose()


async def test_a_loop_denies_at_its_limit_and_is_not_tried_again_at_once(engine: RegoEngine) -> None:
    loop = policy(LOOP)
    await engine.decide("t1", [policy(READERS)], READ)
    start = time.monotonic()
    (first,) = await engine.decide("t1", [loop], {"n": 1})
    took = time.monotonic() - start
    start = time.monotonic()
    (second,) = await engine.decide("t1", [loop], {"n": 1})
    assert (first.allowed, second.allowed) == (False, False)
    assert "too long" in first.reason
    assert took < 3.0
    assert time.monotonic() - start < 0.05


async def test_a_loop_among_others_costs_only_its_own_decision(engine: RegoEngine) -> None:
    policies = [policy(READERS, "a"), policy(LOOP, "b"), policy(READERS, "c")]
    decided = await engine.decide("t1", policies, {**READ, "n": 1})
    assert [each.allowed for each in decided] == [True, False, True]


async def test_the_event_loop_and_other_tenants_go_on_beside_a_loop(engine: RegoEngine) -> None:
    await asyncio.gather(*(engine.decide("t2", [policy(READERS)], READ) for _ in range(8)))
    looping = asyncio.create_task(engine.decide("t1", [policy(LOOP)], {"n": 1}))
    answered, worst = 0, 0.0
    while not looping.done():
        start = time.monotonic()
        (decision,) = await engine.decide("t2", [policy(READERS)], READ)
        worst = max(worst, time.monotonic() - start)
        answered += decision.allowed
    assert answered >= 10
    assert worst < 1.0


async def test_a_tenants_slow_policies_delay_another_tenant_by_none_of_them(engine: RegoEngine) -> None:
    await asyncio.gather(*(engine.decide("modest", [policy(READERS)], READ) for _ in range(8)))
    slow = [policy(SLOW, str(number)) for number in range(8)]
    await engine.load("greedy", slow)
    crowd = [asyncio.create_task(engine.decide("greedy", slow, {"n": 2_000})) for _ in range(20)]
    waits = []
    while not all(task.done() for task in crowd):
        start = time.monotonic()
        (decision,) = await engine.decide("modest", [policy(READERS)], READ)
        waits.append(time.monotonic() - start)
        assert decision.allowed
        await asyncio.sleep(0.01)
    assert all(len(task.result()) == len(slow) for task in crowd)
    assert len(waits) > 3, "the crowd was gone before anybody could be delayed"
    assert sorted(waits)[len(waits) // 2] < 0.1, waits


async def test_a_policy_that_eats_memory_denies(engine: RegoEngine) -> None:
    (decision,) = await engine.decide("t1", [policy(HUNGRY)], {"n": 1})
    assert not decision.allowed
    (after,) = await engine.decide("t1", [policy(READERS)], READ)
    assert after.allowed


async def test_a_policy_too_slow_to_compile_is_refused(engine: RegoEngine) -> None:
    with pytest.raises(PolicySourceError, match="too long"):
        await engine.check(f"package oculus.authz\nallow if {'[' * 20}1{']' * 20} == input.a")


async def test_killed_processes_are_replaced_within_the_decision(engine: RegoEngine) -> None:
    await asyncio.gather(*(engine.decide("t1", [policy(READERS)], READ) for _ in range(8)))
    for _ in range(2):
        async with engine._processes.one() as worker:
            worker._process.kill()
    decided = await asyncio.gather(*(engine.decide("t1", [policy(READERS)], READ) for _ in range(8)))
    assert all(decision.allowed for (decision,) in decided)


async def test_a_process_knows_no_secret_and_can_open_next_to_nothing(
    engine: RegoEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPA_TOKEN", "secret")
    await asyncio.gather(*(engine.decide("t1", [policy(READERS)], READ) for _ in range(8)))
    async with engine._processes.one() as one, engine._processes.one() as other:
        pids = [worker._process.pid for worker in (one, other)]
    for pid in pids:
        assert "secret" not in proc(pid, "environ")
        assert "Max open files            16" in proc(pid, "limits")


def proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


async def test_more_policies_than_a_process_keeps_are_decided(
    engine: RegoEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragwork_rego.worker_pool.MAX_KNOWN", 5)
    for n in [*range(12), *range(12)]:
        (decision,) = await engine.decide("t1", [policy(allowing(f"a{n}"), f"p{n}")], {"action": f"a{n}"})
        assert decision.allowed


async def test_a_failure_names_its_line(engine: RegoEngine) -> None:
    source = HEAD + "allow if to_number(input.n) == 1\n"
    (decision,) = await engine.decide("t1", [policy(source)], {"n": "none"})
    assert (decision.allowed, decision.line) == (False, 5)
    assert "line 5" in decision.reason


@pytest.mark.parametrize(("cores", "processes"), [(None, 1), (1, 1), (2, 1), (3, 2), (64, 2)])
def test_policies_leave_the_server_a_core(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, processes: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    unset, chosen = (RegoConfig(workers=n, cpu_ms=100, memory_mb=512, timeout_s=2.0) for n in (0, 5))
    assert (unset.processes, chosen.processes) == (processes, 5)
