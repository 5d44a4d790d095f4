"""What a tenant may use: its own limits, or those of its plan."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import attrs
from ragwork_hooks.errors import Problem
from ragwork_hooks.plans import Plans
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.rows import from_row

#: The feature whose configuration may carry limits, under the names of the wire contract.
PLAN_FEATURE: Final = "high_quota_tier"
#: What JSON numbers carry exactly everywhere.
MAX_LIMIT: Final = 2**53 - 1
AMOUNTS: Final = (
    "daily_requests_limit",
    "monthly_requests_limit",
    "daily_tokens_limit",
    "monthly_tokens_limit",
)

_READ: Final = "SELECT * FROM quota.limits WHERE tenant_id = ragwork.tenant()"
# A tenant's first limits start from its plan's; later ones from the row as it then is.
_CHANGE: Final = """
INSERT INTO quota.limits AS l (tenant_id, daily_requests_limit, monthly_requests_limit, daily_tokens_limit,
                               monthly_tokens_limit, soft_cap_ratio, hard_cap_enabled)
VALUES (ragwork.tenant(), $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant_id) DO UPDATE SET
    daily_requests_limit = CASE WHEN 'daily_requests_limit' = ANY ($1::text[])
        THEN EXCLUDED.daily_requests_limit ELSE l.daily_requests_limit END,
    monthly_requests_limit = CASE WHEN 'monthly_requests_limit' = ANY ($1::text[])
        THEN EXCLUDED.monthly_requests_limit ELSE l.monthly_requests_limit END,
    daily_tokens_limit = CASE WHEN 'daily_tokens_limit' = ANY ($1::text[])
        THEN EXCLUDED.daily_tokens_limit ELSE l.daily_tokens_limit END,
    monthly_tokens_limit = CASE WHEN 'monthly_tokens_limit' = ANY ($1::text[])
        THEN EXCLUDED.monthly_tokens_limit ELSE l.monthly_tokens_limit END,
    soft_cap_ratio = CASE WHEN 'soft_cap_ratio' = ANY ($1::text[])
        THEN EXCLUDED.soft_cap_ratio ELSE l.soft_cap_ratio END,
    hard_cap_enabled = CASE WHEN 'hard_cap_enabled' = ANY ($1::text[])
        THEN EXCLUDED.hard_cap_enabled ELSE l.hard_cap_enabled END,
    updated_at = now()
RETURNING *
"""


@attrs.frozen(kw_only=True)
class Limits:
    """``None`` is no limit, 0 nothing at all."""

    daily_requests_limit: int | None = None
    monthly_requests_limit: int | None = None
    daily_tokens_limit: int | None = None
    monthly_tokens_limit: int | None = None
    soft_cap_ratio: Decimal = Decimal("0.8")
    hard_cap_enabled: bool = True


class LimitStore:
    """Reads and changes limits. ``plans`` is absent where no plugin sells any."""

    def __init__(self, plans: Plans | None) -> None:
        self._plans = plans

    async def of_plan(self, tenant_id: str) -> Limits:
        """What the tenant's plan says; no limits when it says nothing. No round trip when warm.

        Raises ``Problem`` 503 for a configuration that is none: unlimited use is no answer to a typo.
        """
        if self._plans is None:
            return Limits()
        found = (await self._plans.subscription(tenant_id)).entitlements.get(PLAN_FEATURE)
        if found is None or not found.enabled or not found.config:
            return Limits()
        return limits_of_config(found.config)

    async def effective(self, tx: Transaction, plan: Limits) -> Limits:
        """The limits of the transaction's tenant, else ``plan``'s."""
        row = await tx.fetchrow(_READ)
        return plan if row is None else from_row(Limits, row)

    async def change(self, tx: Transaction, plan: Limits, changes: Mapping[str, Any]) -> Limits:
        """Set the fields named in ``changes``; the limits after it."""
        wanted = attrs.evolve(plan, **changes)
        row = await tx.fetchrow(_CHANGE, list(changes), *attrs.astuple(wanted))
        assert row is not None  # an upsert returns its row
        return from_row(Limits, row)


def limits_of_config(config: Mapping[str, object]) -> Limits:
    """A plan's configuration as limits; other keys are other features' business."""
    found: dict[str, Any] = {}
    for name in AMOUNTS:
        amount = config.get(name)
        if amount is not None:
            if type(amount) is not int or not 0 <= amount <= MAX_LIMIT:
                raise _unusable(name)
            found[name] = amount
    ratio = config.get("soft_cap_ratio")
    if ratio is not None:
        if not isinstance(ratio, int | float) or isinstance(ratio, bool) or not 0 <= ratio <= 1:
            raise _unusable("soft_cap_ratio")
        found["soft_cap_ratio"] = Decimal(str(ratio))
    enforced = config.get("hard_cap_enabled")
    if enforced is not None:
        if type(enforced) is not bool:
            raise _unusable("hard_cap_enabled")
        found["hard_cap_enabled"] = enforced
    return attrs.evolve(Limits(), **found)


def _unusable(name: str) -> Problem:
    return Problem(
        "SERVICE_UNAVAILABLE",
        f"the plan's {PLAN_FEATURE} configuration has an unusable {name}; an operator must mend it",
    )
