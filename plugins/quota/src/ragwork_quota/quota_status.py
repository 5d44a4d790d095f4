"""Where a tenant stands in its running day and month, and the headers that say so."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Literal

import attrs
from ragwork_hooks.metering import QuotaWindow

#: What the headers mean, for the API's description.
MEANINGS: Mapping[str, str] = {
    "X-Quota-Day-Limit": "Units that the tenant may use in a UTC day, or `unlimited`.",
    "X-Quota-Day-Used": "Units used today; a run takes 3, any other request 1.",
    "X-Quota-Day-Remaining": "Units left today, or `unlimited`.",
    "X-Quota-Month-Limit": "Units that the tenant may use in a UTC month, or `unlimited`.",
    "X-Quota-Month-Used": "Units used this month.",
    "X-Quota-Month-Remaining": "Units left this month, or `unlimited`.",
    "X-Quota-SoftCap-Reached": "`true` from the warning share of a limit on, else `false`.",
    "X-Quota-HardCap-Mode": "`enforce` refuses what exceeds a limit, `observe` only notes it.",
}


@attrs.frozen(kw_only=True)
class QuotaStatus:
    """Units used in the UTC day ``day`` and its month, and the limits that hold.

    ``version`` grows with each change of the month's balance, so of two the later is known.
    """

    day: date
    day_used: int
    month_used: int
    version: int
    day_limit: int | None
    month_limit: int | None
    soft_ratio: Decimal
    hard_cap: bool

    @property
    def month(self) -> date:
        """The month's first day."""
        return self.day.replace(day=1)

    @property
    def day_window(self) -> QuotaWindow:
        return _window(self.day_limit, self.day_used)

    @property
    def month_window(self) -> QuotaWindow:
        return _window(self.month_limit, self.month_used)

    @property
    def mode(self) -> Literal["enforce", "observe"]:
        return "enforce" if self.hard_cap else "observe"

    @property
    def soft_cap_reached(self) -> bool:
        return any(
            w.limit is not None and w.used >= self.soft_ratio * w.limit
            for w in (self.day_window, self.month_window)
        )

    def later_than(self, other: "QuotaStatus | None") -> bool:
        return other is None or (self.month, self.version) > (other.month, other.version)

    def less(self, in_day: int, in_month: int) -> "QuotaStatus":
        """Without units that were charged and not used yet."""
        if not in_day and not in_month:
            return self
        return attrs.evolve(self, day_used=self.day_used - in_day, month_used=self.month_used - in_month)

    def headers(self) -> Mapping[str, str]:
        """The quota headers of the wire contract."""
        return {
            **_headers("Day", self.day_window),
            **_headers("Month", self.month_window),
            "X-Quota-SoftCap-Reached": "true" if self.soft_cap_reached else "false",
            "X-Quota-HardCap-Mode": self.mode,
        }


def _window(limit: int | None, used: int) -> QuotaWindow:
    return QuotaWindow(limit=limit, used=used, remaining=None if limit is None else max(0, limit - used))


def _headers(name: str, window: QuotaWindow) -> Mapping[str, str]:
    return {
        f"X-Quota-{name}-Limit": _amount(window.limit),
        f"X-Quota-{name}-Used": str(window.used),
        f"X-Quota-{name}-Remaining": _amount(window.remaining),
    }


def _amount(value: int | None) -> str:
    return "unlimited" if value is None else str(value)
