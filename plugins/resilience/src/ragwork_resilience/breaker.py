"""The circuit breaker: closed, open, half-open; its state lives in the shared store, on the store's clock.

A circuit has a generation number that grows with every transition: even is closed, odd is tripped. A
tripped circuit is open while its *cooling* key lives, and half-open once that key has expired. Failures
are counted by an atomic counter per generation and *streak*; a success begins a new streak. An outcome
carries the generation that its call began in and means nothing to any other.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from typing import Final

import attrs
from ragwork_hooks.storage import SharedState

from ragwork_resilience.config import BreakerPolicy

log = logging.getLogger(__name__)

#: How old a process' view of a circuit may be, in seconds: what it costs per call is one read per period.
VIEW_AGE_S: Final = 0.25
_CHANGE_LEASE_S: Final = 5.0
_MEMORY_S: Final = 86_400.0


class CircuitState(IntEnum):
    """What a circuit does with calls, as the gauge shows it."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class CircuitOpen(Exception):
    """The circuit lets no call through; ``retry_after_s`` is when asking again makes sense, at the latest."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("the circuit is open")
        self.retry_after_s = retry_after_s


@attrs.frozen
class CallPermit:
    """Leave to call. ``probe`` is the place and epoch of a half-open circuit's probe; without one the outcome
    of a call through a tripped circuit says nothing.
    """

    generation: int
    probe: tuple[int, int] | None = None


@attrs.frozen
class CircuitSnapshot:
    """A circuit as it was read at ``read_at``."""

    generation: int
    cooling: bool
    read_at: float

    @property
    def tripped(self) -> bool:
        return self.generation % 2 == 1

    @property
    def condition(self) -> "CircuitState":
        if not self.tripped:
            return CircuitState.CLOSED
        return CircuitState.OPEN if self.cooling else CircuitState.HALF_OPEN


class Breaker:
    """One circuit as this process sees it.

    ``clock`` ages the local view. ``changed`` is told by the one process that made a transition whether the
    circuit is open now, ``seen`` by each process what it sees when that is new. While the store is away the
    last view counts, an open circuit cools on the local clock, and nothing is recorded.
    """

    def __init__(
        self,
        state: SharedState,
        scope: str,
        key: str,
        policy: BreakerPolicy,
        clock: Callable[[], float],
        changed: Callable[[bool], None],
        seen: Callable[[CircuitState], None],
    ) -> None:
        self._state = state
        self._scope = scope
        self._key = key
        self._policy = policy
        self._clock = clock
        self._changed = changed
        self._seen = seen
        self._snapshot = CircuitSnapshot(0, False, float("-inf"))
        self._failing = False
        self._opened_at = float("-inf")

    async def admit(self) -> CallPermit:
        """Leave to call. Raises ``CircuitOpen``. In a closed circuit with a fresh view nothing is awaited."""
        snapshot = self._snapshot
        if self._clock() - snapshot.read_at >= VIEW_AGE_S or (snapshot.tripped and not snapshot.cooling):
            snapshot = await self._look()
        if not snapshot.tripped:
            return CallPermit(snapshot.generation)
        if snapshot.cooling:
            raise CircuitOpen(self._cools_for())
        return await self._probe(snapshot)

    def refuse_if_open(self) -> None:
        """Raises ``CircuitOpen`` when a fresh view says so; decides nothing else, and awaits nothing."""
        snapshot = self._snapshot
        if snapshot.cooling and self._clock() - snapshot.read_at < VIEW_AGE_S:
            raise CircuitOpen(self._cools_for())

    async def passed(self, call_permit: CallPermit) -> None:
        """The call's provider answered."""
        if call_permit.probe is None:
            if self._failing and not call_permit.generation % 2:
                self._failing = False
                await self._add(call_permit.generation, "streak", 1, _MEMORY_S)
            return
        recovered = await self._add(call_permit.generation, "recovered", 1, _MEMORY_S)
        if recovered >= self._policy.trials:
            await self._move(call_permit.generation, call_permit.generation + 1)
        await self.returned(call_permit)

    async def failed(self, call_permit: CallPermit) -> None:
        """The call's provider failed. A probe's failure opens the circuit anew."""
        generation = call_permit.generation
        if call_permit.probe is not None:
            await self._move(generation, generation + 2)
            await self.returned(call_permit)
            return
        if generation % 2:
            return
        self._failing = True
        streak = await self._add(generation, "streak", 0, _MEMORY_S)
        failures = await self._add(generation, f"failures:{streak}", 1, self._policy.window_s)
        if failures >= self._policy.threshold:
            await self._move(generation, generation + 1)

    async def returned(self, call_permit: CallPermit) -> None:
        """The call ended without saying anything about its provider; a probe's place is free again."""
        if call_permit.probe is not None:
            place, epoch = call_permit.probe
            await self._state.unlock(self._scope, self._probe_key(call_permit.generation, place), epoch)

    def _cools_for(self) -> float:
        return max(self._opened_at + self._policy.open_s - self._clock(), VIEW_AGE_S)

    async def _probe(self, snapshot: CircuitSnapshot) -> CallPermit:
        for place in range(self._policy.trials):
            key = self._probe_key(snapshot.generation, place)
            try:
                epoch = await self._state.lock(self._scope, key, self._policy.lease_s)
            except Exception:
                log.warning("no probe of circuit %s can be counted; the call goes through", self._key)
                return CallPermit(snapshot.generation)
            if epoch is None:
                continue
            call_permit = CallPermit(snapshot.generation, (place, epoch))
            if (await self._look()).generation == snapshot.generation:
                return call_permit
            # Another process moved the circuit on between the reading and the taking.
            with suppress(Exception):  # the lease ends by itself
                await self.returned(call_permit)
            break
        raise CircuitOpen(VIEW_AGE_S)

    async def _move(self, old: int, new: int) -> None:
        """From generation ``old`` to ``new``, by one process only."""
        epoch = await self._state.lock(self._scope, f"{self._key}:change", _CHANGE_LEASE_S)
        if epoch is None:
            return
        try:
            if await self._generation() != old:
                return
            if new % 2:
                # First, so that nobody takes the new generation for one that has cooled down.
                await self._state.put(self._scope, self._cooling_key(new), b"1", self._policy.open_s)
            lives = max(_MEMORY_S, 2 * self._policy.open_s)
            await self._state.put(self._scope, self._key, str(new).encode(), lives)
        finally:
            await self._state.unlock(self._scope, f"{self._key}:change", epoch)
        await self._look()
        self._changed(new % 2 == 1)

    async def _look(self) -> CircuitSnapshot:
        try:
            generation = await self._generation()
            cooling = False
            if generation % 2:
                held = await self._state.get(self._scope, self._cooling_key(generation))
                cooling = held is not None
            snapshot = CircuitSnapshot(generation, cooling, self._clock())
        except Exception:
            log.warning("the state of circuit %s can't be read; the last view counts", self._key)
            now = self._clock()
            cooling = self._snapshot.cooling and now < self._opened_at + self._policy.open_s
            snapshot = attrs.evolve(self._snapshot, read_at=now, cooling=cooling)
        if snapshot.condition is not self._snapshot.condition or not self._snapshot.read_at > float("-inf"):
            self._seen(snapshot.condition)
        if snapshot.tripped and snapshot.generation != self._snapshot.generation:
            self._opened_at = snapshot.read_at
        self._snapshot = snapshot
        return snapshot

    async def _generation(self) -> int:
        return int(await self._state.get(self._scope, self._key) or b"0")

    async def _add(self, generation: int, what: str, by: int, ttl_s: float) -> int:
        return await self._state.increment(self._scope, f"{self._key}:{generation}:{what}", by, ttl_s)

    def _cooling_key(self, generation: int) -> str:
        return f"{self._key}:{generation}:cooling"

    def _probe_key(self, generation: int, place: int) -> str:
        return f"{self._key}:{generation}:probe:{place}"


class Circuits:
    """The circuits of one provider: the operator's, and one for every tenant with an account of its own."""

    _MOST: Final = 4096

    def __init__(self, make: Callable[[str], Breaker]) -> None:
        self._make = make
        self._made: dict[str, Breaker] = {}

    def of(self, account: str) -> Breaker:
        """The circuit of ``account``, "" for the operator's."""
        breaker = self._made.get(account)
        if breaker is None:
            if len(self._made) >= self._MOST:
                # What is forgotten here is still in the store.
                del self._made[next(iter(self._made))]
            breaker = self._made[account] = self._make(account)
        return breaker
