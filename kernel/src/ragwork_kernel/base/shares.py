"""The one place where tenants compete for places: see ``ragwork_hooks.shares`` for what is promised.

No method awaits between looking and acting, so each is atomic on its event loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Final, Self

import attrs
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from ragwork_hooks.errors import busy

#: Who the present task works for: a tenant, ``address_of(peer)`` before one is known, "" for the platform itself.
working_for: ContextVar[str] = ContextVar("working_for", default="")
_GAUGES: Final = {
    "places": "Places that tenants share",
    "held": "Shared places in use",
    "waiting": "Requests that wait for a shared place",
}
#: Idle tenants whose turn is remembered while others hold places.
_REMEMBERED: Final = 10_000


def address_of(peer: str) -> str:
    """Stands for a client that has no tenant yet; no tenant is called so."""
    return f"@{peer}"


@contextmanager
def work_for(tenant: str) -> Iterator[None]:
    """Places that are taken within the block count as ``tenant``'s."""
    token = working_for.set(tenant)
    try:
        yield
    finally:
        working_for.reset(token)


@attrs.define(eq=False)
class _Waiter:
    units: int
    arrival: int
    turn: "asyncio.Future[None]"


@attrs.define(eq=False)
class _Tenant:
    """What one tenant holds and waits for, in places, and when it was last served."""

    name: str
    held: int = 0
    wanted: int = 0
    served: int = 0
    queue: deque[_Waiter] = attrs.field(factory=deque)

    @property
    def has_first_claim(self) -> bool:
        """Its first waiter is not to be refused: it holds nothing."""
        return not self.held and bool(self.queue)


class KernelShare:
    """Implements ``ragwork_hooks.shares.Share``."""

    __slots__ = ("_give_back", "units")

    def __init__(self, units: int, give_back: Callable[[int], None]) -> None:
        self.units = units
        self._give_back = give_back

    def shrink(self, units: int) -> None:
        surplus = self.units - max(units, 0)
        if surplus > 0:
            self.units -= surplus
            self._give_back(surplus)

    def release(self) -> None:
        self.shrink(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None, /
    ) -> None:
        self.release()


class KernelShares:
    """Implements ``ragwork_hooks.shares.Shares``; the parameters are those of ``Services.shares``."""

    def __init__(
        self,
        name: str,
        places: int,
        *,
        waiting: int,
        refusal: Callable[[str], Exception],
        wait_s: float | None = None,
        most: int | None = None,
    ) -> None:
        if places < 1 or waiting < 0:
            raise ValueError(f"shares {name!r}: {places} places and {waiting} waiters can't serve anybody")
        self.name = name
        self.places = places
        self.held = 0
        self.waiting = 0
        self.refused = 0
        self._most = places if most is None else max(1, min(most, places))
        self._bound = waiting
        self._refusal = refusal
        self._wait_s = wait_s
        self._tenants: dict[str, _Tenant] = {}
        self._events = 0

    def take_now(self, units: int = 1, *, tenant: str | None = None) -> KernelShare | None:
        """Places that are free while nobody waits, else ``None``."""
        owner = self._tenant(working_for.get() if tenant is None else tenant)
        units = min(max(units, 1), self._most)
        return self._grant(owner, units) if not self.waiting and self._fits(owner, units) else None

    async def take(self, units: int = 1, *, tenant: str | None = None) -> KernelShare:
        if (share := self.take_now(units, tenant=tenant)) is not None:
            return share
        owner = self._tenant(working_for.get() if tenant is None else tenant)
        units = min(max(units, 1), self._most)
        waiter = self._enqueue(owner, units)
        self._serve()
        self._bound_waiters()
        if not waiter.turn.done():
            await self._turn(owner, waiter)
        waiter.turn.result()  # raises the refusal
        return self._share(owner, units)

    # --- waiting ------------------------------------------------------------------------------------

    def _enqueue(self, owner: _Tenant, units: int) -> _Waiter:
        waiter = _Waiter(units, self._next(), asyncio.get_running_loop().create_future())
        owner.queue.append(waiter)
        owner.wanted += units
        self.waiting += 1
        return waiter

    async def _turn(self, owner: _Tenant, waiter: _Waiter) -> None:
        """Until the waiter's future is settled. One who leaves gives back what it was handed in that moment."""
        loop, timer = asyncio.get_running_loop(), None
        if self._wait_s is not None:
            timer = loop.call_later(self._wait_s, self._expire, owner, waiter)
        try:
            await asyncio.wait([waiter.turn])
        except asyncio.CancelledError:
            if not waiter.turn.done():
                self._leave(owner, waiter)
                waiter.turn.cancel()
            elif waiter.turn.exception() is None:
                self._give_back(owner, waiter.units)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _leave(self, owner: _Tenant, waiter: _Waiter) -> None:
        """Forget a waiter; what it stood before may fit now."""
        owner.queue.remove(waiter)
        owner.wanted -= waiter.units
        self.waiting -= 1
        self._serve()

    def _expire(self, owner: _Tenant, waiter: _Waiter) -> None:
        if waiter.turn.done() or (owner.has_first_claim and owner.queue[0] is waiter):
            return
        self._refuse(owner, waiter)

    def _refuse(self, owner: _Tenant, waiter: _Waiter) -> None:
        said = (
            f"all {self.places} places of {self.name} are taken, {owner.held} of them by your own requests, "
            f"of which {len(owner.queue)} more wait; ask again shortly"
        )
        self.refused += 1
        self._leave(owner, waiter)
        waiter.turn.set_exception(self._refusal(said))

    def _bound_waiters(self) -> None:
        """Refuse the newest waiter of whoever has most, while more wait than may. First claims don't count."""
        while self.waiting > self._bound:
            surplus = [t for t in self._tenants.values() if len(t.queue) > t.has_first_claim]
            claims = sum(t.has_first_claim for t in self._tenants.values())
            if not surplus or self.waiting - claims <= self._bound:
                return
            largest = max(surplus, key=lambda t: (t.held + t.wanted, t.queue[-1].arrival))
            self._refuse(largest, largest.queue[-1])

    # --- handing out --------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Hand free places out until whoever is next does not fit; holders are counted before they wake."""
        while self.waiting and self.held < self.places:
            ready = [t for t in self._tenants.values() if t.queue and t.held + t.queue[0].units <= self._most]
            if not ready:
                return
            owner = min(ready, key=lambda t: (t.held, t.served, t.queue[0].arrival))
            if owner.queue[0].units > self.places - self.held:
                return
            waiter = owner.queue.popleft()
            owner.wanted -= waiter.units
            self.waiting -= 1
            self._count(owner, waiter.units)
            waiter.turn.set_result(None)

    def _fits(self, owner: _Tenant, units: int) -> bool:
        return units <= self.places - self.held and owner.held + units <= self._most

    def _grant(self, owner: _Tenant, units: int) -> KernelShare:
        self._count(owner, units)
        return self._share(owner, units)

    def _share(self, owner: _Tenant, units: int) -> KernelShare:
        return KernelShare(units, lambda surplus: self._give_back(owner, surplus))

    def _count(self, owner: _Tenant, units: int) -> None:
        self.held += units
        owner.held += units
        owner.served = self._next()

    def _give_back(self, owner: _Tenant, units: int) -> None:
        self.held -= units
        owner.held -= units
        if self.waiting:
            self._serve()
        elif not self.held:
            self._tenants.clear()
            self._events = 0

    def _tenant(self, name: str) -> _Tenant:
        found = self._tenants.get(name)
        if found is None:
            if len(self._tenants) >= _REMEMBERED:
                self._tenants = {t.name: t for t in self._tenants.values() if t.held or t.queue}
            found = self._tenants[name] = _Tenant(name)
        return found

    def _next(self) -> int:
        self._events += 1
        return self._events


class SharesFactory:
    """Makes every ``Shares`` of a process, and is their collector: by name, never by tenant."""

    def __init__(self, metric_prefix: str) -> None:
        self._prefix = f"{metric_prefix}_shares"
        self._made: dict[str, KernelShares] = {}

    def make(
        self,
        name: str,
        places: int,
        *,
        waiting: int,
        refusal: Callable[[str], Exception] = busy,
        wait_s: float | None = None,
        most: int | None = None,
    ) -> KernelShares:
        """See ``Services.shares``. What is made again under a name takes its predecessor's place in the metrics."""
        made = KernelShares(name, places, waiting=waiting, refusal=refusal, wait_s=wait_s, most=most)
        self._made[name] = made
        return made

    def collect(self) -> Iterable[Metric]:
        for name, help in _GAUGES.items():
            gauge = GaugeMetricFamily(f"{self._prefix}_{name}", help, labels=["name"])
            for each in self._made.values():
                gauge.add_metric([each.name], getattr(each, name))
            yield gauge
        refused = CounterMetricFamily(f"{self._prefix}_refused", "Requests refused a place", labels=["name"])
        for each in self._made.values():
            refused.add_metric([each.name], each.refused)
        yield refused
