"""The admission gate: what a request costs, and whether there is room for it."""

from functools import partial
from typing import Final

from ragwork_hooks.admission import Admission, AdmissionRequest, Reservation, Stage, Wire
from ragwork_hooks.authz import Deny
from ragwork_hooks.http import RUN_COST, AnyRoute
from ragwork_hooks.operations import Metrics

from ragwork_quota.charging import Charge, Charger
from ragwork_quota.leases import LeaseDraw, Leases
from ragwork_quota.limits import LimitStore
from ragwork_quota.quota_events import HARD_CAP
from ragwork_quota.quota_status import MEANINGS, QuotaStatus

#: Requests that write nothing of their own tenant before they are charged: mutations pay in their transaction.
_LEASED: Final = frozenset({"read", "ops", "run"})
_NAMES: Final = {"day": "Daily", "month": "Monthly"}


class QuotaGate:
    """Charges every authenticated request: runs three units, others one. Reads and runs draw from a lease."""

    name = "quota"
    stage: Stage = "quota"

    def __init__(self, charger: Charger, leases: Leases, metrics: Metrics) -> None:
        self._charger = charger
        self._leases = leases
        self._metrics = metrics

    async def admit(self, request: AdmissionRequest) -> Admission | Deny:
        if request.principal is None or request.rate_class == "identity":
            return Admission()
        tenant_id = request.principal.tenant_id
        if request.free:
            looked = await self._charger.charge(await request.open(), 0, request.rate_class)
            return Admission(headers=self._leases.quota(tenant_id).status_for_client(looked.status).headers())
        if request.rate_class in _LEASED:
            return await self._draw(tenant_id, request.rate_class)
        return await self._charge(tenant_id, request)

    def wire(self, route: AnyRoute) -> Wire:
        """Where the tenant stands, on every answer to somebody who is counted."""
        if route.scope == "public" or route.rate_class == "identity":
            return Wire()
        return Wire(codes=() if route.scope == "platform" else ("QUOTA_EXCEEDED",), headers=MEANINGS)

    async def _draw(self, tenant_id: str, rate_class: str) -> Admission | Deny:
        cost = _cost(rate_class)
        drawn = await self._leases.draw(tenant_id, cost, rate_class)
        if isinstance(drawn, Charge):
            return self._deny(tenant_id, drawn)
        return Admission(
            headers=drawn.status.headers(),
            reservation=Reservation(settle=partial(self._undo_draw, tenant_id, drawn, cost, rate_class)),
        )

    async def _charge(self, tenant_id: str, request: AdmissionRequest) -> Admission | Deny:
        cost = _cost(request.rate_class)
        tx = await request.open()
        charged = await self._charger.charge(tx, cost, request.rate_class)
        if charged.refused is not None:
            return self._deny(tenant_id, charged)
        quota = self._leases.quota(tenant_id)
        tx.on_commit(partial(quota.adopt, charged.status))
        return Admission(
            headers=quota.status_for_client(charged.status).headers(),
            reservation=Reservation(
                settle=partial(self._undo_charge, tenant_id, charged.status, cost, request.rate_class),
                written=True,
            ),
        )

    async def _undo_draw(
        self, tenant_id: str, drawn: LeaseDraw, cost: int, rate_class: str, started: bool
    ) -> None:
        if not started:
            await self._leases.undo(tenant_id, drawn, cost, rate_class)

    async def _undo_charge(
        self, tenant_id: str, charged: QuotaStatus, cost: int, rate_class: str, started: bool
    ) -> None:
        if not started:
            await self._leases.refund(tenant_id, charged, cost, rate_class)

    def _deny(self, tenant_id: str, charged: Charge) -> Deny:
        assert charged.refused is not None
        self._metrics.count(
            "quota_exceeded_total", "Requests refused because a quota was used up", period=charged.refused
        )
        return Deny(
            "QUOTA_EXCEEDED",
            f"{_NAMES[charged.refused]} request quota exceeded",
            details={
                "period": charged.refused,
                "limit": charged.limit,
                "used": charged.used,
                "remaining": 0,
            },
            headers=self._leases.quota(tenant_id).status_for_client(charged.status).headers(),
            audit_event=HARD_CAP,
            record=partial(self._charger.note_block, charged=charged),
        )


def _cost(rate_class: str) -> int:
    return RUN_COST if rate_class == "run" else 1


class PlanGate:
    """Reads the tenant's plan into its cache while the request has no connection yet: a charge inside a
    transaction must not wait for a second one.
    """

    name = "quota.plan"
    stage: Stage = "rate"

    def __init__(self, limits: LimitStore) -> None:
        self._limits = limits

    async def admit(self, request: AdmissionRequest) -> Admission | Deny:
        if request.principal is not None:
            await self._limits.of_plan(request.principal.tenant_id)
        return Admission()

    def wire(self, route: AnyRoute) -> Wire:
        """It refuses nobody."""
        return Wire()
