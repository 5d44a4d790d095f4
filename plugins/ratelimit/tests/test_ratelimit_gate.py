"""Which buckets a request draws from, and what happens while the shared state is away."""

import asyncio

import attrs
import pytest
from ragwork_hooks.admission import Admission
from ragwork_hooks.authz import Deny


async def admitted(gate, asks):
    return sum([isinstance(await gate.admit(a), Admission) for a in asks])


async def test_with_burst_five_and_cost_three_one_run_is_admitted_at_once(world, clock, kit):
    gate = world().gate
    first, second = await gate.admit(kit.ask("run")), await gate.admit(kit.ask("run"))
    assert first.headers["RateLimit"] == '"run-key";r=0;t=1, "run-tenant";r=4;t=1'
    # The store rounds a wait up, never down.
    assert 1000 <= second.details["retry_after_ms"] <= 1001
    clock.pass_s(second.details["retry_after_ms"] / 1000)
    assert isinstance(await gate.admit(kit.ask("run")), Admission)
    assert 2999 <= (await gate.admit(kit.ask("run"))).details["retry_after_ms"] <= 3001


@pytest.mark.parametrize(
    ("name", "per_key", "per_tenant"),
    [("run", 1, 5), ("mutation", 10, 25), ("read", 20, 60), ("ops", 10, 20)],
)
async def test_each_class_has_a_bucket_per_key_and_one_per_tenant(world, kit, name, per_key, per_tenant):
    held = world()
    assert await admitted(held.gate, [kit.ask(name, key="k1")] * 100) == per_key
    assert (await held.gate.admit(kit.ask(name, key="k1"))).details["scope"] == "api_key"
    others = [kit.ask(name, key=f"k{n % 9 + 2}") for n in range(900)]
    assert await admitted(held.gate, others) == per_tenant - per_key
    assert (await held.gate.admit(kit.ask(name, key="fresh"))).details["scope"] == "tenant"
    assert await admitted(held.gate, [kit.ask(name, tenant="t2", key="k1")] * 100) == per_key
    assert held.metrics.counts["rate_limited_total", name] > 900


async def test_classes_do_not_draw_from_each_other(world, kit):
    gate = world().gate
    assert await admitted(gate, [kit.ask("read")] * 30) == 20
    assert await admitted(gate, [kit.ask("mutation")] * 30) == 10


async def test_an_unknown_class_is_held_to_the_strictest_limits(world, kit):
    gate = world().gate
    assert await admitted(gate, [kit.ask("novel")] * 9) == 1
    assert isinstance(await gate.admit(kit.ask("run")), Deny)


async def test_a_refusal_costs_nothing_in_either_bucket(world, clock, kit):
    gate = world(tenant_read_burst=21).gate
    assert await admitted(gate, [kit.ask(key="k1")] * 500) == 20
    assert await admitted(gate, [kit.ask(key="k2")] * 500) == 1
    clock.pass_s(0.2)
    # k1 has one token again, and the tenant all that its own rate gave back: three.
    assert await admitted(gate, [kit.ask(key="k1")] * 5) == 1
    assert await admitted(gate, [kit.ask(key="k2")] * 5) == 2


@pytest.mark.parametrize("kind", ["agent", "sso_session"])
async def test_new_tokens_and_sessions_of_one_agent_or_person_share_its_bucket(world, kit, kind):
    gate = world(key_read_burst=3, tenant_read_burst=1000).gate
    asks = [kit.ask(key=f"token{number}") for number in range(9)]
    asks = [attrs.evolve(each, principal=attrs.evolve(each.principal, kind=kind)) for each in asks]
    assert await admitted(gate, asks) == 3
    other = attrs.evolve(asks[0], principal=attrs.evolve(asks[0].principal, user_id="another"))
    assert await admitted(gate, [other] * 9) == 3
    assert await admitted(gate, [kit.ask(key="k1"), kit.ask(key="k2")]) == 2


async def test_public_routes_are_held_by_address_and_probes_by_nothing(world, kit):
    gate = world(address_public_burst=3).gate
    assert await admitted(gate, [kit.ask("public", key=None)] * 9) == 3
    refused = await gate.admit(kit.ask("public", key=None))
    assert (refused.details["scope"], refused.details["route_class"]) == ("address", "public")
    assert await admitted(gate, [kit.ask("public", key=None, peer="192.0.2.2")] * 9) == 3
    same_network = [kit.ask("public", key=None, peer=f"2001:db8::{n:x}") for n in range(1, 10)]
    assert await admitted(gate, same_network) == 3
    assert await admitted(gate, [kit.ask("probe", key=None)] * 999) == 999


@pytest.mark.parametrize(
    ("closed", "scope"), [({"key_read_rps": 0}, "api_key"), ({"tenant_read_burst": 0}, "tenant")]
)
async def test_a_closed_class_promises_nothing_and_draws_nothing(world, kit, closed, scope):
    state = kit.AwayState(lambda: 0.0)
    refused = await world(state, **closed).gate.admit(kit.ask())
    assert (refused.code, refused.details["scope"], refused.details["retry_after_ms"]) == (
        "RATE_LIMITED",
        scope,
        None,
    )
    assert not {"Retry-After", "X-RateLimit-Retry-After-Ms"} & set(refused.headers)
    assert state.asked == 0


async def test_failing_open_limits_in_this_process_and_says_so(world, clock, kit):
    state = kit.AwayState(clock)
    held = world(state)
    verdicts = [await held.gate.admit(kit.ask("run")) for _ in range(4)]
    assert [isinstance(v, Admission) for v in verdicts] == [True, False, False, False]
    assert {v.headers["X-RateLimit-Status"] for v in verdicts} == {"degraded"}
    assert verdicts[1].code == "RATE_LIMITED"
    assert verdicts[1].headers["Retry-After"] == "1"
    assert isinstance(await held.gate.admit(kit.ask("run", tenant="t2")), Admission)
    assert held.metrics.counts["rate_limit_degraded_total",] == 5
    state.away = False
    back = await held.gate.admit(kit.ask("run"))
    assert isinstance(back, Admission)
    assert "X-RateLimit-Status" not in back.headers


async def test_failing_open_stays_within_bounded_memory(world, clock, kit):
    held = world(kit.AwayState(clock))
    for number in range(1000):
        await held.gate.admit(kit.ask(key=f"k{number}", tenant=f"t{number}"))
    assert len(held.local) == 100


async def test_failing_closed_refuses_with_503(world, clock, kit):
    refused = await world(kit.AwayState(clock), fail_mode="closed").gate.admit(kit.ask())
    assert isinstance(refused, Deny)
    assert (refused.code, refused.headers) == (
        "RATE_LIMIT_UNAVAILABLE",
        {"X-RateLimit-Status": "degraded", "Retry-After": "1"},
    )
    assert refused.audit_event is None


async def test_racing_draws_never_exceed_the_burst(world, kit):
    gate = world(key_read_burst=50, key_read_rps=0.001, tenant_read_burst=70).gate
    verdicts = await asyncio.gather(*(gate.admit(kit.ask(key=f"k{number % 2}")) for number in range(400)))
    assert sum(isinstance(v, Admission) for v in verdicts) == 70
