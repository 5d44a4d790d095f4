"""The ledger: balances that work is reserved in before it starts and settled in after it."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Final, Literal

from ragwork_hooks.metering import Account
from ragwork_hooks.storage import Transaction

_RESERVE: Final = "SELECT quota.reserve($1, $2, $3, $4, $5)::text"
_STARTED: Final = """
UPDATE quota.reservations SET started = true WHERE tenant_id = ragwork.tenant() AND id = $1::text::uuid
"""
_SETTLE: Final = "SELECT quota.settle($1::text::uuid, $2)"
_EXPIRE: Final = "SELECT quota.expire()"
#: What is used and reserved of an account in this period, without lapsed reservations. Parameters: account, period.
_SPENT: Final = """
SELECT GREATEST(0, b.used - quota.lapsed(b.account, b.period, b.starts_on))
  FROM quota.balances b
 WHERE b.tenant_id = ragwork.tenant() AND b.account = $1 AND b.period = $2
   AND b.starts_on = quota.start_of($2, quota.today())
"""


class QuotaLedger:
    """Implements ``ragwork_hooks.metering.Ledger``. Each call is one round trip."""

    async def reserve(
        self, tx: Transaction, accounts: Sequence[Account], amount: Decimal, ttl_s: float
    ) -> str | None:
        """Raises ``ValueError`` for no account, one named twice, or an amount that is none."""
        names = [(account.name, account.period) for account in accounts]
        if not names or len(set(names)) < len(names):
            raise ValueError("a reservation names at least one account, and each once")
        limits = [_checked(account.limit) for account in accounts]
        found: str | None = await tx.fetchval(
            _RESERVE,
            [account.name for account in accounts],
            [account.period for account in accounts],
            limits,
            _checked(amount),
            timedelta(seconds=ttl_s),
        )
        return found

    async def started(self, tx: Transaction, reservation: str) -> None:
        await tx.execute(_STARTED, reservation)

    async def settle(self, tx: Transaction, reservation: str, amount: Decimal) -> None:
        await tx.fetchval(_SETTLE, reservation, _checked(amount))

    async def release(self, tx: Transaction, reservation: str) -> None:
        await tx.fetchval(_SETTLE, reservation, Decimal(0))

    async def spent(self, tx: Transaction, account: str, period: Literal["day", "month"]) -> Decimal:
        return Decimal(await tx.fetchval(_SPENT, account, period) or 0)

    async def expire(self, tx: Transaction) -> int:
        """End the tenant's expired reservations; how many there were."""
        return int(await tx.fetchval(_EXPIRE))


def _checked(amount: Decimal | None) -> Decimal | None:
    if amount is not None and not (amount.is_finite() and amount >= 0):
        raise ValueError(f"{amount} is no amount: give a finite one of 0 or more")
    return amount
