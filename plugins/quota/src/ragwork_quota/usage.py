"""What a tenant used, for those who show it."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, Literal

import attrs
from ragwork_hooks.metering import UsageSummary
from ragwork_hooks.storage import Row, Transaction
from ragwork_toolkit.rows import from_row

from ragwork_quota.leases import Leases
from ragwork_quota.limits import Limits, LimitStore
from ragwork_quota.quota_status import QuotaStatus

#: The account in which whoever counts model tokens keeps them.
TOKENS: Final = "tokens"
_CLASSES: Final = ("run", "read", "mutation", "ops")

#: One row: today, the tenant's own limits or nulls, units used, and requests by class in the last $1 days.
_SUMMARY: Final = """
SELECT t.day, l.*,
       COALESCE((SELECT b.used FROM quota.balances b WHERE b.tenant_id = ragwork.tenant()
           AND b.account = 'requests' AND b.period = 'day' AND b.starts_on = t.day), 0)::bigint AS day_used,
       COALESCE(m.used, 0)::bigint AS month_used, COALESCE(m.version, 0) AS version,
       (SELECT COALESCE(json_object_agg(r.rate_class, r.n), '{}') FROM (
           SELECT r.rate_class, sum(r.admitted)::bigint AS n FROM quota.requests r
            WHERE r.tenant_id = ragwork.tenant() AND r.day > t.day - $1::int GROUP BY r.rate_class) AS r) AS by_class
  FROM (SELECT quota.today() AS day) AS t
  LEFT JOIN quota.limits l ON l.tenant_id = ragwork.tenant()
  LEFT JOIN quota.balances m ON m.tenant_id = ragwork.tenant() AND m.account = 'requests'
       AND m.period = 'month' AND m.starts_on = quota.start_of('month', t.day)
"""
#: Admitted requests of each of the last days, oldest first, 0 for a day without any. Parameter: how many days.
_BY_DAY: Final = """
SELECT d.day::date AS day, COALESCE(sum(r.admitted), 0)::bigint AS admitted
  FROM generate_series((quota.today() - $1::int + 1)::timestamp, quota.today()::timestamp, '1 day') AS d (day)
  LEFT JOIN quota.requests r ON r.tenant_id = ragwork.tenant() AND r.day = d.day::date
 GROUP BY d.day ORDER BY d.day
"""
#: Units and tokens used in the period of a day, null without a balance. Parameters: period, day, account of tokens.
_OF_PERIOD: Final = """
SELECT s.starts_on, (SELECT b.used FROM quota.balances b WHERE b.tenant_id = ragwork.tenant()
           AND b.account = 'requests' AND b.period = $1 AND b.starts_on = s.starts_on) AS units,
       (SELECT b.used FROM quota.balances b WHERE b.tenant_id = ragwork.tenant()
           AND b.account = $3 AND b.period = $1 AND b.starts_on = s.starts_on) AS tokens
  FROM (SELECT quota.start_of($1, $2) AS starts_on) AS s
"""


@attrs.frozen(kw_only=True)
class PeriodUsage:
    """Units and tokens of one period; ``tokens`` is ``None`` where none were counted."""

    starts_on: date
    units: int
    tokens: int | None


class UsageReader:
    """Implements ``ragwork_hooks.metering.Usage``. What this process holds in leases counts as not used."""

    def __init__(self, limits: LimitStore, leases: Leases) -> None:
        self._limits = limits
        self._leases = leases

    async def summary(self, tx: Transaction, days: int) -> UsageSummary:
        quota = self._leases.quota(tx.tenant_id)
        plan = await self._limits.of_plan(tx.tenant_id)
        row = await tx.fetchrow(_SUMMARY, days)
        assert row is not None
        status = quota.status_for_client(_status(row, plan))
        by_class = Counter(dict.fromkeys(_CLASSES, 0) | row["by_class"])
        by_class.update(quota.uncounted_since(status.day - timedelta(days=days - 1)))
        return UsageSummary(
            total=sum(by_class.values()),
            by_class=dict(by_class),
            day=status.day_window,
            month=status.month_window,
            soft_cap_reached=status.soft_cap_reached,
            hard_cap_mode=status.mode,
        )

    async def by_day(self, tx: Transaction, days: int) -> Sequence[tuple[date, int]]:
        quota = self._leases.quota(tx.tenant_id)
        rows = await tx.fetch(_BY_DAY, days)
        return [(row["day"], row["admitted"] + quota.uncounted_on(row["day"])) for row in rows]

    async def of_period(self, tx: Transaction, period: Literal["day", "month"], day: date) -> PeriodUsage:
        """The period that contains ``day``. One round trip."""
        quota = self._leases.quota(tx.tenant_id)
        row = await tx.fetchrow(_OF_PERIOD, period, day, TOKENS)
        assert row is not None
        starts_on: date = row["starts_on"]
        unused = quota.unused_in_month(starts_on) if period == "month" else quota.unused_on(starts_on)
        tokens: Decimal | None = row["tokens"]
        return PeriodUsage(
            starts_on=starts_on,
            units=int(row["units"] or 0) - unused,
            tokens=None if tokens is None else int(tokens),
        )


def _status(row: Row, plan: Limits) -> QuotaStatus:
    limits = plan if row["tenant_id"] is None else from_row(Limits, row)
    return QuotaStatus(
        day=row["day"],
        day_used=row["day_used"],
        month_used=row["month_used"],
        version=row["version"],
        day_limit=limits.daily_requests_limit,
        month_limit=limits.monthly_requests_limit,
        soft_ratio=limits.soft_cap_ratio,
        hard_cap=limits.hard_cap_enabled,
    )
