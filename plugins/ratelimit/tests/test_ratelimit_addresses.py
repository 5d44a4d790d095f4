"""An address that fails to authenticate too often is refused without being looked at."""

import attrs
import pytest
from ragwork_hooks.admission import Admission
from ragwork_hooks.events import RequestSummary
from ragwork_ratelimit.buckets import LocalBuckets
from ragwork_ratelimit.failed_authentication import (
    FailedAuthenticationCounter,
    FailedAuthenticationGate,
    client_of,
)
from ragwork_ratelimit.limits import Limit
from ragwork_testkit.services import RecordedMetrics

LIMIT = Limit(2.0, 10)
DONE = RequestSummary(
    request_id="r",
    echo_id="r",
    tenant_id=None,
    actor_id=None,
    peer="192.0.2.1",
    route="documents.list",
    method="GET",
    path="/v1/documents",
    rate_class="read",
    status=401,
    code="AUTH_UNAUTHORIZED",
    seconds=0.001,
    deciding_s=0.001,
    steps=(),
)


@pytest.fixture
def metrics():
    return RecordedMetrics()


@pytest.fixture
def door(clock, metrics):
    """Gate, observer and the buckets they share."""
    buckets = LocalBuckets(clock, 1000)
    return (
        FailedAuthenticationGate(buckets, LIMIT, LocalBuckets(clock, 1000), metrics),
        FailedAuthenticationCounter(buckets, LIMIT),
        buckets,
    )


@pytest.mark.parametrize(
    ("peer", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_one_client_is_one_address_or_one_network(peer, client):
    assert client_of(peer) == client


async def test_the_burst_of_failures_is_let_in_and_no_more(door, clock, kit, metrics):
    gate, failures, _ = door
    for _ in range(10):
        assert isinstance(await gate.admit(kit.ask(key=None)), Admission)
        failures.finished(DONE)
    refused = await gate.admit(kit.ask(key=None))
    assert (refused.code, refused.audit_event) == ("RATE_LIMITED", "security.rate_limited")
    assert refused.details == {"scope": "address", "route_class": "read", "retry_after_ms": 500}
    assert refused.headers["RateLimit-Policy"] == '"address-failures";q=10;w=5'
    assert refused.headers["RateLimit"] == '"address-failures";r=0;t=1'
    assert refused.headers["Retry-After"] == "1"
    assert metrics.counts["rate_limited_total", "read"] == 1
    assert isinstance(await gate.admit(kit.ask(key=None, peer="192.0.2.2")), Admission)
    clock.pass_s(0.5)
    assert isinstance(await gate.admit(kit.ask(key=None)), Admission)


async def test_asking_and_being_refused_cost_nothing(door, clock, kit):
    gate, failures, buckets = door
    for _ in range(1000):
        assert isinstance(await gate.admit(kit.ask(key=None)), Admission)
    for status in (200, 403, 404, 429, 503):
        failures.finished(attrs.evolve(DONE, status=status))
    assert len(buckets) == 0
    for _ in range(10):
        failures.finished(DONE)
    for _ in range(1000):
        await gate.admit(kit.ask(key=None))
    clock.pass_s(0.5)
    assert isinstance(await gate.admit(kit.ask(key=None)), Admission)


async def test_a_flood_that_was_under_way_is_paid_back_within_bounds(door, clock, kit):
    gate, failures, _ = door
    for _ in range(5000):
        failures.finished(DONE)
    refused = await gate.admit(kit.ask(key=None))
    assert refused.details["retry_after_ms"] == 5500
    clock.pass_s(5.5)
    assert isinstance(await gate.admit(kit.ask(key=None)), Admission)


async def test_probes_pass_and_memory_is_bounded(door, kit):
    gate, failures, buckets = door
    for number in range(5000):
        failures.finished(attrs.evolve(DONE, peer=f"10.0.{number // 256}.{number % 256}"))
    assert len(buckets) == 1000
    for _ in range(20):
        failures.finished(DONE)
    assert isinstance(await gate.admit(kit.ask("probe", key=None)), Admission)
    assert not isinstance(await gate.admit(kit.ask(key=None)), Admission)


async def test_well_formed_credentials_of_a_refused_address_are_looked_up_a_few_a_second(door, clock, kit):
    gate, failures, _ = door

    async def let_in(credentials, peer="192.0.2.1"):
        asks = [kit.ask(key=None, peer=peer, credential=credential) for credential in credentials]
        return sum([isinstance(await gate.admit(ask), Admission) for ask in asks])

    for host in range(1, 21):
        for _ in range(20):
            failures.finished(attrs.evolve(DONE, peer=f"192.0.2.{host}"))
    assert await let_in([None] * 5) == 0
    assert await let_in(["one that goes on"] * 100) == 1
    assert await let_in(map(str, range(100))) == 9
    hosts = [f"192.0.2.{host}" for host in range(2, 21)]
    assert sum([await let_in([f"{host}/{n}" for n in range(100)], host) for host in hosts]) == 90
    clock.pass_s(2.0)
    assert await let_in(map(str, range(100, 200))) == 2
