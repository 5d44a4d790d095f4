"""Counting what was used, and reserving it first."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

import attrs

from ragwork_hooks.storage import Transaction


@attrs.frozen(kw_only=True)
class UsageEvent:
    """One use. ``units`` maps unit names (``input_tokens``, ``seconds`` …) to exact amounts."""

    tenant_id: str
    request_id: str
    component: str
    provider: str
    units: Mapping[str, Decimal]


class Ledger(Protocol):
    """Capability: reserve → settle or release, so work is never free and never lost."""

    async def reserve(self, tx: Transaction, account: str, amount: Decimal) -> str | None:
        """A reservation's id; ``None`` when it would pass the limit."""

    async def settle(self, tx: Transaction, reservation: str, amount: Decimal) -> None: ...

    async def release(self, tx: Transaction, reservation: str) -> None: ...
