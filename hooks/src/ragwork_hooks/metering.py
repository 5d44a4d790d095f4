"""Counting what was used, and reserving it first."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Literal, Protocol

import attrs

from ragwork_hooks.storage import Transaction


@attrs.frozen(kw_only=True)
class Account:
    """One balance of the transaction's tenant in one period of database time, UTC.

    ``limit`` of ``None`` is unlimited, 0 is nothing at all.
    """

    name: str
    period: Literal["day", "month"]
    limit: Decimal | None


class Ledger(Protocol):
    """Capability: reserve → settle or release, so work is never free and never lost.

    A reservation says whether its work ``started``: when it expires, one that did is settled at its
    reserve, one that did not is released.
    """

    async def reserve(
        self, tx: Transaction, accounts: Sequence[Account], amount: Decimal, ttl_s: float
    ) -> str | None:
        """Hold ``amount`` in every account or in none, in one statement; the reservation's id, ``None`` when
        it would pass a limit.
        """

    async def started(self, tx: Transaction, reservation: str) -> None: ...

    async def settle(self, tx: Transaction, reservation: str, amount: Decimal) -> None:
        """Replace the reserve by what was used; once, later calls do nothing."""

    async def release(self, tx: Transaction, reservation: str) -> None:
        """Give all of it back."""

    async def spent(self, tx: Transaction, account: str, period: Literal["day", "month"]) -> Decimal:
        """Settled and reserved so far in the running period."""


@attrs.frozen(kw_only=True)
class QuotaWindow:
    """Use of one period. ``limit`` and ``remaining`` are ``None`` when unlimited."""

    limit: int | None
    used: int
    remaining: int | None


@attrs.frozen(kw_only=True)
class UsageSummary:
    """Where a tenant stands. ``by_class`` counts admitted requests of the asked days by rate class."""

    total: int
    by_class: Mapping[str, int]
    day: QuotaWindow
    month: QuotaWindow
    soft_cap_reached: bool
    hard_cap_mode: Literal["enforce", "observe"]


class UsageReports(Protocol):
    """Capability: what a tenant used, for those who show it. All calls act inside the caller's transaction."""

    async def summary(self, tx: Transaction, days: int) -> UsageSummary: ...

    async def by_day(self, tx: Transaction, days: int) -> Sequence[tuple[date, int]]:
        """Admitted requests of each of the last ``days`` days, oldest first, days without any included."""
