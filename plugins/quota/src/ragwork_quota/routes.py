"""The admin API of limits and usage."""

from datetime import date
from decimal import Decimal
from typing import Literal

import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import choice, number, text
from ragwork_hooks.http import AnyRoute, Empty, Request, Response
from ragwork_hooks.services import Services
from ragwork_toolkit.patching import changes, optional
from ragwork_toolkit.routes import platform_write_route, read_route, untransacted_route

from ragwork_quota.leases import Leases
from ragwork_quota.limits import MAX_LIMIT, Limits, LimitStore
from ragwork_quota.usage import UsageReader


@attrs.frozen(kw_only=True)
class PlanLimitPatchRequest:
    """A limit of null is no limit, 0 nothing at all; what is left out stays."""

    #: Units a UTC day; null for no limit, 0 for none at all. Example: 500
    daily_requests_limit: int | None = optional(number(ge=0, le=MAX_LIMIT))
    #: Units a UTC month; null for no limit. Example: 10000
    monthly_requests_limit: int | None = optional(number(ge=0, le=MAX_LIMIT))
    #: Tokens a UTC day; null for no limit. Example: null
    daily_tokens_limit: int | None = optional(number(ge=0, le=MAX_LIMIT))
    #: Tokens a UTC month; null for no limit. Example: null
    monthly_tokens_limit: int | None = optional(number(ge=0, le=MAX_LIMIT))
    #: From which share of a limit on to warn. Example: 0.8
    soft_cap_ratio: float = optional(number(ge=0, le=1))
    #: Whether what exceeds a limit is refused, or only noted. Example: true
    hard_cap_enabled: bool = optional(attrs.field())


@attrs.frozen(kw_only=True)
class PlanLimitResponse:
    """The limits that hold for a tenant."""

    #: The tenant. Example: "t1"
    tenant_id: str
    #: Units a UTC day; null for no limit, 0 for none at all. Example: 500
    daily_requests_limit: int | None
    #: Units a UTC month; null for no limit. Example: 10000
    monthly_requests_limit: int | None
    #: Tokens a UTC day; null for no limit. Example: null
    daily_tokens_limit: int | None
    #: Tokens a UTC month; null for no limit. Example: null
    monthly_tokens_limit: int | None
    #: From which share of a limit on to warn. Example: 0.8
    soft_cap_ratio: float
    #: Whether what exceeds a limit is refused, or only noted. Example: true
    hard_cap_enabled: bool


@attrs.frozen(kw_only=True)
class UsageQuery:
    """``start`` is a day of the period that is asked for, as YYYY-MM-DD."""

    #: A day, or a month.
    period: str = choice("day", "month", default="day")
    #: A day of the period, as YYYY-MM-DD. Example: "2026-01-05"
    start: str = text(max_length=10, pattern=r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@attrs.frozen(kw_only=True)
class AdminUsageResponse:
    """``requests_count`` is in units of the quota: a run is three."""

    #: The tenant. Example: "t1"
    tenant_id: str
    #: `day` or `month`. Example: "month"
    period_type: str
    #: The period's first day. Example: "2026-01-01"
    period_start: str
    #: Units that were used; a run takes 3. Example: 1204
    requests_count: int
    #: Tokens that were used; null while nothing counts them. Example: null
    estimated_tokens_count: int | None


class QuotaAdminApi:
    """Handlers and declarations of ``/v1/admin/quotas`` and ``/v1/admin/usage``."""

    def __init__(self, services: Services, limits: LimitStore, leases: Leases, usage: UsageReader) -> None:
        self._services = services
        self._limits = limits
        self._leases = leases
        self._usage = usage

    def routes(self) -> tuple[AnyRoute, ...]:
        return (
            # The plan of another tenant may have to be read first: never two connections at once.
            untransacted_route(
                name="quotas.get",
                method="GET",
                path="/v1/admin/quotas/{tenant_id}",
                summary="Show a tenant's limits, its own or its plan's",
                handler=self.get,
                action=Action(name="quota.read", role=Role.ADMIN),
                rate_class="read",
                audit_event=None,
                response=PlanLimitResponse,
                errors=("AUTH_FORBIDDEN",),
                legacy=True,
            ),
            platform_write_route(
                name="quotas.patch",
                method="PATCH",
                path="/v1/admin/quotas/{tenant_id}",
                summary="Change a tenant's limits",
                handler=self.patch,
                action=Action(name="quota.update", role=Role.ADMIN, platform=True),
                audit_event="quota.limits.updated",
                idempotency="accepted",
                response=PlanLimitResponse,
                body=PlanLimitPatchRequest,
                errors=("AUTH_FORBIDDEN",),
                legacy=True,
            ),
            read_route(
                name="usage.get",
                path="/v1/admin/usage/{tenant_id}",
                summary="Show what a tenant used in one day or month of UTC",
                handler=self.usage,
                action=Action(name="usage.read", role=Role.ADMIN),
                response=AdminUsageResponse,
                query=UsageQuery,
                errors=("AUTH_FORBIDDEN",),
                legacy=True,
            ),
        )

    async def get(self, request: Request[Empty, Empty]) -> PlanLimitResponse:
        tenant_id = request.path["tenant_id"]
        plan = await self._limits.of_plan(tenant_id)
        async with self._services.db.tenant(tenant_id, "read") as tx:
            return _response(tenant_id, await self._limits.effective(tx, plan))

    async def patch(self, request: Request[PlanLimitPatchRequest, Empty]) -> Response:
        tenant_id, named = request.tx.tenant_id, dict(changes(request.body))
        if "soft_cap_ratio" in named:
            named["soft_cap_ratio"] = Decimal(str(request.body.soft_cap_ratio))
        plan = await self._limits.of_plan(tenant_id)
        if not named:
            limits = await self._limits.effective(request.tx, plan)
            return Response(data=_response(tenant_id, limits), changed=False)
        limits = await self._limits.change(request.tx, plan, named)
        request.tx.on_commit(lambda: self._leases.end_at(tenant_id))
        note = AuditDetails(
            resource_type="quota",
            resource_id=tenant_id,
            metadata={name: attrs.asdict(_response(tenant_id, limits))[name] for name in named},
        )
        return Response(data=_response(tenant_id, limits), audit=note)

    async def usage(self, request: Request[Empty, UsageQuery]) -> AdminUsageResponse:
        period: Literal["day", "month"] = "month" if request.query.period == "month" else "day"
        try:
            start = date.fromisoformat(request.query.start)
        except ValueError:
            raise Problem("VALIDATION_ERROR", "start is no day of the calendar") from None
        used = await self._usage.of_period(request.tx, period, start)
        return AdminUsageResponse(
            tenant_id=request.tx.tenant_id,
            period_type=period,
            period_start=used.starts_on.isoformat(),
            requests_count=used.units,
            estimated_tokens_count=used.tokens,
        )


def _response(tenant_id: str, limits: Limits) -> PlanLimitResponse:
    values = attrs.asdict(limits) | {"soft_cap_ratio": float(limits.soft_cap_ratio)}
    return PlanLimitResponse(tenant_id=tenant_id, **values)
