"""The circuit against a model: hypothesis plays calls, outcomes and time over two kernels with one store."""

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from ragwork_hooks.errors import ProviderError
from ragwork_memory.state import InMemoryState
from ragwork_resilience.breaker import VIEW_AGE_S, Breaker, CircuitOpen, Circuits, CircuitState
from ragwork_resilience.config import BreakerPolicy

POLICY = BreakerPolicy(threshold=3, window_s=60, open_s=30, trials=2, lease_s=10)


def finished(coroutine):
    """The result of a coroutine that never really waits, as with the in-process store."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waited")


class Time:
    now = 0.0

    def __call__(self):
        return self.now


def breaker(state, time, opened=None, policy=POLICY, seen=lambda _: None):
    changed = (lambda is_open: opened.append(is_open)) if opened is not None else (lambda _: None)
    return Breaker(state, "cb", "llm:x:", policy, time, changed, seen)


class BreakerAgainstModel(RuleBasedStateMachine):
    """The model: generation, failures in a row with the window's end, when it cools, probes out, recovered."""

    def __init__(self):
        super().__init__()
        self.time, self.transitions = Time(), []
        state = InMemoryState(self.time)
        self.kernels = [breaker(state, self.time, self.transitions) for _ in range(2)]
        self.calls = []  # (kernel, ticket, generation it began in, lease's end or None)
        self.generation, self.failures, self.window_ends = 0, 0, 0.0
        self.cools_until, self.recovered = 0.0, 0
        self.known = {0: False, 1: False}  # which kernel had a failure since its last success
        self.opened = self.closed = 0
        self.advice = VIEW_AGE_S

    @property
    def tripped(self):
        return self.generation % 2 == 1

    def probes_out(self):
        return [
            c for c in self.calls if c[3] is not None and c[2] == self.generation and c[3] > self.time.now
        ]

    def trip(self, generation):
        self.generation, self.cools_until = generation, self.time.now + POLICY.open_s
        self.failures = self.recovered = 0
        self.opened += 1

    @rule(kernel=st.integers(0, 1))
    def call(self, kernel):
        self.time.now += VIEW_AGE_S  # a fresh view: what a stale one may do is tested apart
        try:
            call_permit = finished(self.kernels[kernel].admit())
        except CircuitOpen as refused:
            assert self.tripped
            assert self.time.now < self.cools_until or len(self.probes_out()) == POLICY.trials
            self.advice = refused.retry_after_s
            return
        assert call_permit.generation == self.generation
        if self.tripped:
            assert self.time.now >= self.cools_until
            assert len(self.probes_out()) < POLICY.trials
            assert call_permit.probe is not None
        lease = self.time.now + POLICY.lease_s if self.tripped else None
        self.calls.append((kernel, call_permit, self.generation, lease))

    @precondition(lambda self: self.calls)
    @rule(pick=st.integers(0, 1000), outcome=st.sampled_from(["passed", "failed", "returned"]))
    def end(self, pick, outcome):
        kernel, call_permit, began, lease = self.calls.pop(pick % len(self.calls))
        finished(getattr(self.kernels[kernel], outcome)(call_permit))
        if outcome == "returned":
            return
        if lease is None:
            self._ordinary(kernel, outcome, began)
        elif began == self.generation:
            self._probe(outcome)

    def _ordinary(self, kernel, outcome, began):
        if outcome == "passed":
            if self.known[kernel] and began == self.generation:
                self.failures = 0
            self.known[kernel] = False
            return
        self.known[kernel] = True
        if began != self.generation:
            return
        if self.time.now >= self.window_ends or not self.failures:
            self.failures, self.window_ends = 0, self.time.now + POLICY.window_s
        self.failures += 1
        if self.failures >= POLICY.threshold:
            self.trip(self.generation + 1)

    def _probe(self, outcome):
        if outcome == "failed":
            self.trip(self.generation + 2)
            return
        self.recovered += 1
        if self.recovered >= POLICY.trials:
            self.generation += 1
            self.failures = self.recovered = 0
            self.closed += 1

    @rule(kernel=st.integers(0, 1))
    def outage(self, kernel):
        """Calls that fail until the circuit opens; chance alone seldom gets there."""
        for _ in range(POLICY.threshold):
            before = len(self.calls)
            self.call(kernel)
            if len(self.calls) > before:
                self.end(before, "failed")

    @rule(seconds=st.sampled_from([0.3, 5.0, 11.0, 31.0, 31.0, 61.0]))
    def wait(self, seconds):
        self.time.now += seconds

    @invariant()
    def each_transition_is_told_once(self):
        assert self.transitions.count(True) == self.opened
        assert self.transitions.count(False) == self.closed

    @invariant()
    def advice_is_within_the_cooling_time(self):
        assert 0 < self.advice < POLICY.open_s + 0.001

    @invariant()
    def probes_are_bounded(self):
        assert len(self.probes_out()) <= POLICY.trials


TestBreakerAgainstModel = BreakerAgainstModel.TestCase
TestBreakerAgainstModel.settings = settings(stateful_step_count=40, parent=settings())


@pytest.fixture
def time():
    return Time()


def trip(circuit, times=POLICY.threshold):
    for call_permit in [finished(circuit.admit()) for _ in range(times)]:
        finished(circuit.failed(call_permit))


def test_a_late_outcome_from_before_the_opening_says_nothing(time):
    circuit = breaker(InMemoryState(time), time)
    late = [finished(circuit.admit()) for _ in range(10)]
    trip(circuit)
    time.now += POLICY.open_s
    for call_permit in late:
        finished(circuit.passed(call_permit))
    probes = [finished(circuit.admit()) for _ in range(2)]
    assert all(call_permit.probe is not None for call_permit in probes)
    for call_permit in late:
        finished(circuit.failed(call_permit))
    for call_permit in probes:
        finished(circuit.passed(call_permit))
    for call_permit in late:
        finished(circuit.failed(call_permit))
    assert finished(circuit.admit()).generation == 2


def test_one_failed_probe_opens_anew_whatever_the_others_say(time):
    opened = []
    circuit = breaker(InMemoryState(time), time, opened)
    trip(circuit)
    time.now += POLICY.open_s
    bad, good = finished(circuit.admit()), finished(circuit.admit())
    finished(circuit.failed(bad))
    for _ in range(POLICY.trials):
        finished(circuit.passed(good))
    assert opened == [True, True]
    time.now += POLICY.open_s - 1
    with pytest.raises(CircuitOpen):
        finished(circuit.admit())
    time.now += 1
    assert finished(circuit.admit()).probe is not None


def test_places_of_an_earlier_half_open_time_do_not_bind_the_next(time):
    circuit = breaker(InMemoryState(time), time, policy=attrs.evolve(POLICY, lease_s=1000))
    trip(circuit)
    time.now += POLICY.open_s
    bad, _hanging = finished(circuit.admit()), finished(circuit.admit())
    finished(circuit.failed(bad))
    time.now += POLICY.open_s
    assert all(finished(circuit.admit()).probe for _ in range(POLICY.trials))


def test_a_probe_that_is_never_heard_of_again_gives_its_place_back(time):
    circuit = breaker(InMemoryState(time), time)
    trip(circuit)
    time.now += POLICY.open_s
    lost = [finished(circuit.admit()) for _ in range(POLICY.trials)]
    with pytest.raises(CircuitOpen):
        finished(circuit.admit())
    time.now += POLICY.lease_s
    again = [finished(circuit.admit()) for _ in range(POLICY.trials)]
    for call_permit in lost:
        finished(circuit.returned(call_permit))  # a lapsed lease frees nobody else's place
    with pytest.raises(CircuitOpen):
        finished(circuit.admit())
    assert len(again) == POLICY.trials


def test_another_kernel_sees_the_opening_within_the_views_age(time):
    state = InMemoryState(time)
    mine, other = breaker(state, time), breaker(state, time)
    finished(other.admit())
    trip(mine)
    time.now += VIEW_AGE_S
    with pytest.raises(CircuitOpen):
        finished(other.admit())


def test_a_closed_circuit_with_a_fresh_view_asks_the_store_nothing(time):
    class Counted(InMemoryState):
        asked = 0

        async def get(self, scope, key):
            self.asked += 1
            return await super().get(scope, key)

        async def increment(self, scope, key, by=1, ttl_s=None):
            self.asked += 1
            return await super().increment(scope, key, by, ttl_s)

    state = Counted(time)
    circuit = breaker(state, time)
    finished(circuit.failed(finished(circuit.admit())))
    finished(circuit.passed(finished(circuit.admit())))
    before = state.asked
    for _ in range(100):
        finished(circuit.passed(finished(circuit.admit())))
    assert state.asked == before


def test_failures_further_apart_than_the_window_never_open(time):
    circuit = breaker(InMemoryState(time), time)
    for _ in range(20):
        finished(circuit.failed(finished(circuit.admit())))
        time.now += POLICY.window_s / 2 + 1
    assert finished(circuit.admit()).probe is None


class Leaving(InMemoryState):
    """A store that can be away."""

    away = False

    def __getattribute__(self, name):
        if name in ("get", "put", "increment", "lock", "unlock") and self.away:
            return self._refuse
        return super().__getattribute__(name)

    async def _refuse(self, *_args, **_more):
        raise ProviderError("STATE_UNAVAILABLE", "the store is away")


def test_a_store_that_is_away_from_the_start_lets_calls_pass(time):
    state = Leaving(time)
    state.away = True
    assert finished(breaker(state, time).admit()).generation == 0


def test_an_open_circuit_cools_on_the_local_clock_while_the_store_is_away(time):
    state, seen = Leaving(time), []
    circuit = breaker(state, time, seen=seen.append)
    trip(circuit)
    state.away = True
    time.now += POLICY.open_s - 1
    with pytest.raises(CircuitOpen):
        finished(circuit.admit())
    time.now += 2
    through = [finished(circuit.admit()) for _ in range(5)]
    assert {call_permit.probe for call_permit in through} == {None}, (
        "no probe can be counted, so nobody is kept out"
    )
    assert seen == [CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN]


def test_calls_that_passed_uncounted_say_nothing_once_the_store_is_back(time):
    state, opened = Leaving(time), []
    circuit = breaker(state, time, opened)
    trip(circuit)
    time.now += POLICY.open_s + 1
    state.away = True
    through = [finished(circuit.admit()) for _ in range(POLICY.threshold + 1)]
    state.away = False
    for call_permit in through:
        finished(circuit.failed(call_permit))
    assert opened == [True], "failures must not close a circuit"
    assert finished(circuit.admit()).probe is not None, "the circuit is half-open, as the store says"


def test_accounts_have_circuits_of_their_own(time):
    state = InMemoryState(time)
    circuits = Circuits(
        lambda account: Breaker(state, "cb", account, POLICY, time, lambda _: None, lambda _: None)
    )
    trip(circuits.of("t1"))
    with pytest.raises(CircuitOpen):
        finished(circuits.of("t1").admit())
    assert finished(circuits.of("t2").admit())
