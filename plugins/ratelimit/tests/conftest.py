"""Gates over states that work, are away, or stand at a time that the test moves."""

from types import SimpleNamespace

import attrs
import pytest
from ragwork_hooks.errors import ProviderError
from ragwork_memory.state import InMemoryState
from ragwork_ratelimit.buckets import LocalBuckets
from ragwork_ratelimit.config import RateLimitConfig
from ragwork_ratelimit.degradation_audit import DegradationAudit
from ragwork_ratelimit.gate import RateGate
from ragwork_testkit import admission
from ragwork_testkit.process import ManualClock
from ragwork_testkit.services import RecordedMetrics


class AwayState:
    """A shared state that is away until told to come back; counts how often it was asked."""

    def __init__(self, clock):
        self.inner = InMemoryState(clock)
        self.away = True
        self.asked = 0

    async def take(self, scope, buckets, cost):
        self.asked += 1
        if self.away:
            raise ProviderError("STATE_UNAVAILABLE", "it is down", retryable=True)
        return await self.inner.take(scope, buckets, cost)


def ask(rate_class="read", tenant="t1", key="k1", **facts):
    caller = None if key is None else admission.caller(tenant, key)
    return admission.asked(caller, rate_class=rate_class, **facts)


@attrs.define(slots=False)
class World:
    """A rate gate with what it stands on in the open."""

    config: RateLimitConfig
    clock: ManualClock
    state: object
    metrics: RecordedMetrics = attrs.field(factory=RecordedMetrics)
    local: LocalBuckets = attrs.field(init=False)
    degradation: DegradationAudit = attrs.field(init=False)
    gate: RateGate = attrs.field(init=False)

    def __attrs_post_init__(self):
        self.local = LocalBuckets(self.clock, 100)
        self.degradation = DegradationAudit(self.config.fail_mode, self.metrics, self.clock)
        self.gate = RateGate(
            self.config,
            state=self.state,
            local=self.local,
            degradation=self.degradation,
            metrics=self.metrics,
        )


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def world(clock):
    def make(state=None, **settings):
        return World(RateLimitConfig(**settings), clock, state or InMemoryState(clock))

    return make


@pytest.fixture
def kit():
    return SimpleNamespace(ask=ask, AwayState=AwayState)
