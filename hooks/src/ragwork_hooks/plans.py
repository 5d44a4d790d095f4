"""What a tenant has paid for: plans and the features they include."""

from collections.abc import Mapping
from typing import Protocol

import attrs

from ragwork_hooks.storage import Transaction


@attrs.frozen(kw_only=True)
class Entitlement:
    """A feature of a tenant, by plan and override. ``config`` is the plan's or override's settings."""

    feature_key: str
    enabled: bool
    config: Mapping[str, object] | None = None


@attrs.frozen(kw_only=True)
class Subscription:
    """A tenant's plan and what it includes, by feature key."""

    plan_id: str
    plan_name: str
    entitlements: Mapping[str, Entitlement]


class Plans(Protocol):
    """Capability: plans, overrides and entitlements."""

    async def subscription(self, tenant_id: str) -> Subscription:
        """From a cache that any change reaches within 1 s: no round trip when warm. A tenant without an
        assignment has the default plan.
        """

    async def ensure(self, tx: Transaction, plan_id: str | None) -> str:
        """Assign ``plan_id`` to the transaction's tenant; ``None`` keeps what it has, else assigns the
        default for new tenants. Gives the plan's id. Raises ``Problem`` 404 for an unknown plan.
        """

    async def ask_upgrade(self, tx: Transaction, target_plan: str, reason: str | None, by: str) -> int:
        """Record a tenant's wish for another plan, for an operator to decide; the request's id."""
