"""Charging requests: the one statement that guards both periods, and what becomes known through it."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final, Literal

import attrs
from ragwork_hooks.storage import Row, Transaction
from ragwork_toolkit.rows import from_row

from ragwork_quota.limits import Limits, LimitStore
from ragwork_quota.quota_events import HARD_CAP, OVERAGE, SOFT_CAP, USAGE, QuotaEvents
from ragwork_quota.quota_status import QuotaStatus

_CHARGE: Final = """
SELECT * FROM quota.charge($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
_GIVE_BACK: Final = "SELECT * FROM quota.give_back($1, $2, $3, $4)"
_NOTE_BLOCK: Final = "SELECT quota.note_block($1, $2)"
_NOW: Final = "SELECT quota.now()"
#: Units that a tenant could use up in the second for which other processes' leases may be out.
MARGIN: Final = 256

Period = Literal["day", "month"]


@attrs.frozen(kw_only=True)
class UnusedUnits:
    """What is left of a lease: units not used, and admitted requests by class that are not yet counted."""

    day: date
    units: int
    counts: Mapping[str, int]


@attrs.frozen(kw_only=True)
class Charge:
    """A charge's outcome. ``refused`` names the period without room; then nothing was charged."""

    status: QuotaStatus
    refused: Period | None
    leased: int
    day_ends_s: float

    @property
    def limit(self) -> int | None:
        """The limit that refused."""
        return self.status.month_limit if self.refused == "month" else self.status.day_limit

    @property
    def used(self) -> int:
        return self.status.month_used if self.refused == "month" else self.status.day_used


class Charger:
    """Charges inside the caller's transaction, and announces what a charge brings about."""

    def __init__(self, limits: LimitStore, announcer: QuotaEvents) -> None:
        self._limits = limits
        self._announcer = announcer

    async def charge(
        self, tx: Transaction, cost: int, rate_class: str, *, block: int = 0, rest: UnusedUnits | None = None
    ) -> Charge:
        """Charge ``cost`` units, and ``block`` more as a lease when every cap is far. One round trip, more
        only when something is to be announced. ``cost`` 0 looks and changes nothing.
        """
        plan = await self._limits.of_plan(tx.tenant_id)
        row = await tx.fetchrow(_CHARGE, cost, rate_class, block, MARGIN, *_rest(rest), *_guard(plan))
        assert row is not None  # the function returns one row
        charged = Charge(
            status=from_row(QuotaStatus, row),
            refused=row["refused"],
            leased=row["leased"],
            day_ends_s=row["day_ends_s"],
        )
        await self._announce(tx, charged.status, row)
        return charged

    async def give_back(self, tx: Transaction, rest: UnusedUnits, known: QuotaStatus) -> QuotaStatus:
        """Return units; where that leaves the tenant, with the limits of ``known``. One round trip."""
        row = await tx.fetchrow(_GIVE_BACK, *_rest(rest))
        assert row is not None
        return attrs.evolve(
            known,
            day=rest.day,
            day_used=int(row["day_used"]),
            month_used=int(row["month_used"]),
            version=row["version"],
        )

    async def note_block(self, tx: Transaction, charged: Charge) -> None:
        """Tell of the period's first refusal."""
        period, status = charged.refused, charged.status
        assert period is not None
        starts_on = status.month if period == "month" else status.day
        if await tx.fetchval(_NOTE_BLOCK, period, starts_on):
            at: datetime = await tx.fetchval(_NOW)
            await self._announcer.publish(tx, HARD_CAP, _facts(status, period, at))

    async def _announce(self, tx: Transaction, status: QuotaStatus, row: Row) -> None:
        for kind, periods in ((SOFT_CAP, row["crossed"]), (OVERAGE, row["overran"])):
            for period in periods:
                await self._announcer.announce(tx, kind, _facts(status, period, row["at"]))
        if row["sampled"]:
            facts = {
                "day": status.day.isoformat(),
                "day_used": status.day_used,
                "month_used": status.month_used,
                "occurred_at": row["at"].isoformat(),
            }
            await self._announcer.announce(tx, USAGE, facts)


def _facts(status: QuotaStatus, period: Period, at: datetime) -> Mapping[str, object]:
    monthly = period == "month"
    return {
        "period": period,
        "period_start": (status.month if monthly else status.day).isoformat(),
        "limit": status.month_limit if monthly else status.day_limit,
        "used": status.month_used if monthly else status.day_used,
        "hard_cap_mode": status.mode,
        "occurred_at": at.isoformat(),
    }


def _rest(rest: UnusedUnits | None) -> tuple[object, ...]:
    if rest is None:
        return None, 0, [], []
    return rest.day, rest.units, list(rest.counts), list(rest.counts.values())


def _guard(plan: Limits) -> tuple[object, ...]:
    return plan.daily_requests_limit, plan.monthly_requests_limit, plan.soft_cap_ratio, plan.hard_cap_enabled
