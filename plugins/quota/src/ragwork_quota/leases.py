"""Small blocks of quota per process and tenant, so that a read or a run need not ask the database.

A block is charged whole when it is leased, and what is not used of it is given back within a second: so
however many processes lease, the caps hold. Near a cap nothing is leased and every request is charged.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import date
from typing import Final

import attrs
from ragwork_hooks.storage import Database

from ragwork_quota.charging import Charge, Charger, UnusedUnits
from ragwork_quota.quota_status import QuotaStatus

#: Units of one lease, those of the request which takes it out included.
BLOCK: Final = 16
#: A lease is given back at the first tick after this; ticks and this make a second at most.
LEASE_S: Final = 0.5
TICK_S: Final = 0.25
_IDLE_S: Final = 60.0

log = logging.getLogger(__name__)


@attrs.define(eq=False, kw_only=True)
class Lease:
    """Units of ``day``, charged and at hand until ``ends``, in monotonic time. ``counts`` are the admitted
    requests that the database has not counted yet.
    """

    day: date
    left: int
    taken_at: float
    ends: float
    counts: Counter[str] = attrs.field(factory=Counter)

    @property
    def rest(self) -> UnusedUnits:
        return UnusedUnits(day=self.day, units=self.left, counts=dict(self.counts))


@attrs.define(eq=False)
class TenantQuota:
    """One tenant in this process, and what the database does not know of it yet."""

    lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    lease: Lease | None = None
    #: Units by day that are charged and not used.
    _unused: Counter[date] = attrs.field(factory=Counter)
    #: Requests by day and class that are admitted and not counted.
    _uncounted: Counter[tuple[date, str]] = attrs.field(factory=Counter)
    status: QuotaStatus | None = None
    touched: float = 0.0

    def take(self, cost: int, rate_class: str, now: float) -> Lease | None:
        """``cost`` units for one request, from the lease at hand."""
        lease = self.lease
        if lease is None or lease.left < cost or now >= lease.ends:
            return None
        lease.left -= cost
        lease.counts[rate_class] += 1
        self._move(lease.day, rate_class, -cost, 1)
        return lease

    def put_back(self, lease: Lease, cost: int, rate_class: str) -> bool:
        """Undo a ``take``, unless the lease has been closed meanwhile."""
        if self.lease is not lease:
            return False
        lease.left += cost
        lease.counts[rate_class] -= 1
        self._move(lease.day, rate_class, cost, -1)
        return True

    def opened(self, lease: Lease) -> None:
        """A lease has been charged."""
        self.lease = lease
        self._unused[lease.day] += lease.left

    def close(self) -> Lease | None:
        """End the lease, whose rest the caller must write, or ``lease`` again."""
        lease, self.lease = self.lease, None
        return lease

    def forget(self, rest: UnusedUnits) -> None:
        """The database has ``rest``, or must be taken to have it."""
        self._unused.subtract({rest.day: rest.units})
        self._uncounted.subtract({(rest.day, name): count for name, count in rest.counts.items()})
        self._unused, self._uncounted = +self._unused, +self._uncounted

    def adopt(self, status: QuotaStatus) -> None:
        """Remember the latest that the database said."""
        if status.later_than(self.status):
            self.status = status

    def status_for_client(self, status: QuotaStatus) -> QuotaStatus:
        """``status`` without what this process has leased and not used."""
        return status.less(self.unused_on(status.day), self.unused_in_month(status.month))

    def unused_on(self, day: date) -> int:
        """Units of ``day`` that are charged and not used."""
        return self._unused.get(day, 0)

    def unused_in_month(self, month: date) -> int:
        """The same for the month that begins on ``month``."""
        return sum(units for day, units in self._unused.items() if day.replace(day=1) == month)

    def uncounted_since(self, day: date) -> Counter[str]:
        """Requests by class that were admitted on ``day`` or later and are not counted yet."""
        found: Counter[str] = Counter()
        for (on, rate_class), count in self._uncounted.items():
            if on >= day:
                found[rate_class] += count
        return found

    def uncounted_on(self, day: date) -> int:
        """All requests of ``day`` that are not counted yet."""
        return sum(count for (on, _), count in self._uncounted.items() if on == day)

    def _move(self, day: date, rate_class: str, units: int, requests: int) -> None:
        self._unused[day] += units
        self._uncounted[day, rate_class] += requests


@attrs.frozen(kw_only=True)
class LeaseDraw:
    """An admitted request: where the tenant stands after it, and the lease it was drawn from, if any."""

    status: QuotaStatus
    lease: Lease | None


class Leases:
    """The desks of one process."""

    def __init__(self, db: Database, charger: Charger, monotonic: Callable[[], float]) -> None:
        self._db = db
        self._charger = charger
        self._now = monotonic
        self._quotas: dict[str, TenantQuota] = {}

    def quota(self, tenant_id: str) -> TenantQuota:
        """The tenant's desk; one that nobody uses for a minute is taken away."""
        quota = self._quotas.setdefault(tenant_id, TenantQuota())
        quota.touched = self._now()
        return quota

    async def draw(self, tenant_id: str, cost: int, rate_class: str) -> LeaseDraw | Charge:
        """``cost`` units: from the lease, else from the database. ``Charge`` is a refusal."""
        quota = self.quota(tenant_id)
        drawn = self._from_lease(quota, cost, rate_class)
        if drawn is not None:
            return drawn
        async with quota.lock:
            # Whoever waited finds what the one before has leased.
            return self._from_lease(quota, cost, rate_class) or await self._from_database(
                tenant_id, quota, cost, rate_class
            )

    async def undo(self, tenant_id: str, drawn: LeaseDraw, cost: int, rate_class: str) -> None:
        """Give drawn units back."""
        quota = self.quota(tenant_id)
        if drawn.lease is None or not quota.put_back(drawn.lease, cost, rate_class):
            await self.refund(tenant_id, drawn.status, cost, rate_class)

    async def refund(self, tenant_id: str, charged: QuotaStatus, units: int, rate_class: str) -> None:
        """Give units back that were charged with ``charged`` as the outcome."""
        quota = self.quota(tenant_id)
        async with self._db.tenant(tenant_id) as tx:
            rest = UnusedUnits(day=charged.day, units=units, counts={rate_class: -1})
            after = await self._charger.give_back(tx, rest, charged)
            tx.on_commit(lambda: quota.adopt(after))

    def end_at(self, tenant_id: str) -> None:
        """Draw no more from the lease at hand: the tenant's limits have changed."""
        quota = self._quotas.get(tenant_id)
        if quota is not None and quota.lease is not None:
            quota.lease.ends = self._now()

    async def tick(self) -> None:
        """Return leases that are old enough, and clear desks that nobody uses."""
        for tenant_id, quota in list(self._quotas.items()):
            now = self._now()
            if quota.lease is not None:
                if now >= min(quota.lease.taken_at + LEASE_S, quota.lease.ends):
                    await self._give_back(tenant_id, quota)
            elif not quota.lock.locked() and now - quota.touched > _IDLE_S:
                del self._quotas[tenant_id]

    @contextlib.asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Returns every lease when the process stops serving."""
        try:
            yield
        finally:
            for tenant_id, quota in list(self._quotas.items()):
                try:
                    await self._give_back(tenant_id, quota)
                except Exception as error:
                    log.warning("a lease of %s stays charged: %r", tenant_id, error)

    def _from_lease(self, quota: TenantQuota, cost: int, rate_class: str) -> LeaseDraw | None:
        # Who has a lease has a standing: both come with the same commit.
        if quota.status is None or (lease := quota.take(cost, rate_class, self._now())) is None:
            return None
        return LeaseDraw(status=quota.status_for_client(quota.status), lease=lease)

    async def _from_database(
        self, tenant_id: str, quota: TenantQuota, cost: int, rate_class: str
    ) -> LeaseDraw | Charge:
        asked = self._now()
        async with self._closing(quota) as old:
            async with self._db.tenant(tenant_id) as tx:
                rest = None if old is None else old.rest
                charged = await self._charger.charge(tx, cost, rate_class, block=BLOCK - cost, rest=rest)
                tx.on_commit(lambda: self._charged(quota, rest, charged, asked))
        if charged.refused is not None:
            return charged
        return LeaseDraw(status=quota.status_for_client(charged.status), lease=None)

    async def _give_back(self, tenant_id: str, quota: TenantQuota) -> None:
        async with quota.lock, self._closing(quota) as old:
            if old is None or quota.status is None:
                return
            rest, known = old.rest, quota.status
            if not rest.units and not any(rest.counts.values()):
                return
            async with self._db.tenant(tenant_id) as tx:
                after = await self._charger.give_back(tx, rest, known)
                tx.on_commit(lambda: self._returned(quota, rest, after))

    @contextlib.asynccontextmanager
    async def _closing(self, quota: TenantQuota) -> AsyncIterator[Lease | None]:
        """The lease, closed. When its rest could not be written it stays charged: a failed commit may have
        taken effect, and to use a unit twice would be worse than to lose one.
        """
        old = quota.close()
        try:
            yield old
        except BaseException:
            if old is not None:
                quota.forget(old.rest)
            raise

    def _charged(self, quota: TenantQuota, rest: UnusedUnits | None, charged: Charge, asked: float) -> None:
        if rest is not None:
            quota.forget(rest)
        if charged.leased:
            ends = asked + charged.day_ends_s
            lease = Lease(day=charged.status.day, left=charged.leased, taken_at=asked, ends=ends)
            quota.opened(lease)
        quota.adopt(charged.status)

    @staticmethod
    def _returned(quota: TenantQuota, rest: UnusedUnits, after: QuotaStatus) -> None:
        quota.forget(rest)
        quota.adopt(after)
