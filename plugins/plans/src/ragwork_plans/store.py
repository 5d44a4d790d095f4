"""Plans in Postgres, and what each tenant has of them, cached."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import attrs
from ragwork_hooks.errors import Problem
from ragwork_hooks.events import Event
from ragwork_hooks.plans import Entitlement, Subscription
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Cache, Row, Transaction

from ragwork_plans import feature_keys

#: Upper bound in seconds on a cached subscription's age, should an invalidation ever be lost.
CACHE_TTL_S: Final = 15.0

#: A row for each feature: the tenant's plan, and what it or an override says. Parameter: the default plan.
_STANDING: Final = """
WITH assigned AS (
    SELECT plan_id, effective_from FROM plans.assignments WHERE tenant_id = ragwork.tenant()
), plan AS (
    SELECT id, name, is_active, includes_unlisted FROM plans.plans
     WHERE id = COALESCE((SELECT plan_id FROM assigned), $1)
)
SELECT plan.*, (SELECT effective_from FROM assigned) AS effective_from, f.key,
       COALESCE(o.enabled, i.plan_id IS NOT NULL) AS enabled, COALESCE(o.config, i.config) AS config,
       ARRAY(SELECT p.id FROM plans.inclusions x JOIN plans.plans p ON p.id = x.plan_id
              WHERE x.feature_key = f.key ORDER BY p.position) AS included_in
  FROM plan CROSS JOIN plans.features f
  LEFT JOIN plans.inclusions i ON i.plan_id = plan.id AND i.feature_key = f.key
  LEFT JOIN plans.overrides o ON o.tenant_id = ragwork.tenant() AND o.feature_key = f.key
 ORDER BY f.position
"""
#: A row for each plan and feature, with whether the plan includes it, in the order of both.
_CATALOGUE: Final = """
SELECT p.id, p.name, p.is_active, f.key, i.plan_id IS NOT NULL AS enabled, i.config
  FROM plans.plans p CROSS JOIN plans.features f
  LEFT JOIN plans.inclusions i ON i.plan_id = p.id AND i.feature_key = f.key
 ORDER BY p.position, f.position
"""
# The no-op update makes a concurrent first assignment visible, which DO NOTHING would hide.
_ENSURE: Final = """
INSERT INTO plans.assignments AS a (tenant_id, plan_id) VALUES (ragwork.tenant(), $1)
ON CONFLICT (tenant_id) DO UPDATE SET plan_id = a.plan_id
RETURNING a.plan_id
"""
#: Gives the tenant a plan and grants open requests for it; a row only when another or none was assigned before.
_ASSIGN: Final = """
WITH granted AS (
    UPDATE plans.upgrade_requests SET granted_at = now()
     WHERE tenant_id = ragwork.tenant() AND target_plan = $1 AND granted_at IS NULL
)
INSERT INTO plans.assignments AS a (tenant_id, plan_id) VALUES (ragwork.tenant(), $1)
ON CONFLICT (tenant_id) DO UPDATE SET plan_id = EXCLUDED.plan_id, effective_from = now()
      WHERE a.plan_id <> EXCLUDED.plan_id
RETURNING a.plan_id
"""
#: Sets what is not null over the plan, and keeps the rest of an override. Parameters: feature, enabled, config.
_OVERRIDE: Final = """
INSERT INTO plans.overrides AS o (tenant_id, feature_key, enabled, config)
VALUES (ragwork.tenant(), $1, $2, $3)
ON CONFLICT (tenant_id, feature_key) DO UPDATE
   SET enabled = COALESCE(EXCLUDED.enabled, o.enabled), config = COALESCE(EXCLUDED.config, o.config)
"""
#: The tenant's one open request for a plan; ``made`` when it is new, not changed. Parameters: plan, reason, asker.
_ASK: Final = """
INSERT INTO plans.upgrade_requests AS r (tenant_id, target_plan, reason, requested_by)
VALUES (ragwork.tenant(), $1, $2, $3)
ON CONFLICT (tenant_id, target_plan) WHERE granted_at IS NULL
DO UPDATE SET reason = EXCLUDED.reason, requested_by = EXCLUDED.requested_by
RETURNING r.id, xmax = 0 AS made
"""


@attrs.frozen(kw_only=True)
class TenantPlan:
    """A tenant's subscription and what the gate and the admin API say about it.

    ``effective_from`` is ``None`` for the default plan; ``included_in`` names each feature's plans.
    """

    subscription: Subscription
    effective_from: datetime | None
    is_active: bool
    includes_unlisted: bool
    included_in: Mapping[str, tuple[str, ...]]

    def has(self, key: str) -> bool:
        """Whether the tenant may use the feature ``key``, a name of the catalogue."""
        entitlement = self.subscription.entitlements.get(key)
        return self.includes_unlisted if entitlement is None else entitlement.enabled


@attrs.frozen(kw_only=True)
class CataloguePlan:
    """A plan and every feature, with whether the plan includes it."""

    id: str
    name: str
    is_active: bool
    entitlements: Sequence[Entitlement]


class PostgresPlans:
    """Plans, overrides and entitlements. Implements ``ragwork_hooks.plans.Plans``."""

    def __init__(self, services: Services, default: str) -> None:
        self._services = services
        self._default = default
        self._standings: Cache[TenantPlan] = services.caches.cache("plans.standings", ttl_s=CACHE_TTL_S)

    async def subscription(self, tenant_id: str) -> Subscription:
        return (await self.tenant_plan(tenant_id)).subscription

    async def tenant_plan(self, tenant_id: str) -> TenantPlan:
        """From the cache: no round trip when warm."""

        async def load() -> TenantPlan:
            async with self._services.db.tenant(tenant_id, "read") as tx:
                return await self.read(tx)

        return await self._standings.get(tenant_id, load)

    async def read(self, tx: Transaction) -> TenantPlan:
        """As the transaction sees it. One round trip."""
        return _tenant_plan(await tx.fetch(_STANDING, self._default))

    async def catalogue(self, tx: Transaction) -> list[CataloguePlan]:
        """All plans, the smallest first."""
        plans: dict[str, list[Row]] = {}
        for row in await tx.fetch(_CATALOGUE):
            plans.setdefault(row["id"], []).append(row)
        return [
            CataloguePlan(
                id=plan_id,
                name=rows[0]["name"],
                is_active=rows[0]["is_active"],
                entitlements=[_entitlement(row) for row in rows],
            )
            for plan_id, rows in plans.items()
        ]

    async def ensure(self, tx: Transaction, plan_id: str | None) -> str:
        if plan_id is not None:
            await self.assign(tx, plan_id)
            return plan_id
        kept: str = await tx.fetchval(_ENSURE, self._default)
        await self._standings.invalidate(tx, tx.tenant_id)
        return kept

    async def assign(self, tx: Transaction, plan_id: str) -> bool:
        """Give the transaction's tenant the plan; whether it had another. Raises ``Problem`` 404."""
        await self._check_plan(tx, plan_id)
        changed = await tx.fetchval(_ASSIGN, plan_id) is not None
        if changed:
            await self._standings.invalidate(tx, tx.tenant_id)
        return changed

    async def override(
        self, tx: Transaction, key: str, enabled: bool | None, config: Mapping[str, object] | None
    ) -> None:
        """Set what is not ``None`` over the plan, for a key of the catalogue."""
        await tx.execute(_OVERRIDE, key, enabled, config)
        await self._standings.invalidate(tx, tx.tenant_id)

    async def ask_upgrade(self, tx: Transaction, target_plan: str, reason: str | None, by: str) -> int:
        await self._check_plan(tx, target_plan)
        row = await tx.fetchrow(_ASK, target_plan, reason, by)
        assert row is not None  # INSERT … RETURNING with DO UPDATE always gives its row
        request_id: int = row["id"]
        if row["made"]:
            payload = {"request_id": request_id, "target_plan": target_plan, "requested_by": by}
            await self._services.events.publish(
                tx, Event(type="billing.upgrade_requested", key="upgrade", payload=payload)
            )
        return request_id

    async def _check_plan(self, tx: Transaction, plan_id: str) -> None:
        rows = await tx.fetch("SELECT id FROM plans.plans WHERE is_active ORDER BY position")
        known = [row["id"] for row in rows]
        if plan_id not in known:
            raise Problem(
                "NOT_FOUND",
                f"plan {plan_id!r} does not exist: {feature_keys.nearest(plan_id, known)}",
                details={"plans": known},
            )


def _tenant_plan(rows: Sequence[Row]) -> TenantPlan:
    plan = rows[0]
    return TenantPlan(
        subscription=Subscription(
            plan_id=plan["id"],
            plan_name=plan["name"],
            entitlements={row["key"]: _entitlement(row) for row in rows},
        ),
        effective_from=plan["effective_from"],
        is_active=plan["is_active"],
        includes_unlisted=plan["includes_unlisted"],
        included_in={row["key"]: tuple(row["included_in"]) for row in rows},
    )


def _entitlement(row: Row) -> Entitlement:
    return Entitlement(feature_key=row["key"], enabled=row["enabled"], config=row["config"])
