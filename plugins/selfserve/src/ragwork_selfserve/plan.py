"""A tenant's own plan: shown to its admin, who may ask for another and can't give it to themself."""

from collections.abc import Mapping
from typing import Final

import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.fields import choice, text
from ragwork_hooks.http import AnyRoute, Empty, Request, Response
from ragwork_hooks.metering import UsageReports
from ragwork_hooks.plans import Plans
from ragwork_toolkit.routes import read_route, write_route

from ragwork_selfserve.usage import Quota, quota

READ: Final = Action(name="plan.read", role=Role.ADMIN)
ASK: Final = Action(name="plan.ask_upgrade", role=Role.ADMIN)


@attrs.frozen(kw_only=True)
class EntitlementView:
    """A feature, and whether the tenant has it."""

    #: The feature. Example: "feature.tts"
    feature_key: str
    #: Whether the tenant has it. Example: true
    enabled: bool
    #: Settings that go with it; null for none. Example: null
    config_json: Mapping[str, object] | None


@attrs.frozen(kw_only=True)
class OwnPlanResponse:
    """The tenant's own plan."""

    #: The tenant. Example: "t1"
    tenant_id: str
    #: The plan. Example: "pro"
    plan_id: str
    #: What people call it. Example: "Pro"
    plan_name: str | None
    #: Every feature, overrides taken into account.
    entitlements: list[EntitlementView]
    #: Where the tenant stands.
    quota: Quota


@attrs.frozen(kw_only=True)
class PlanUpgradeRequestPayload:
    """A wish for another plan."""

    #: The plan. Example: "enterprise"
    target_plan: str = choice("pro", "enterprise")
    #: Why, for whoever decides. Example: "Need single sign-on"
    reason: str | None = text(default=None, max_length=1024)


@attrs.frozen(kw_only=True)
class PlanUpgradeResponse:
    """That the wish was noted."""

    #: Its number. Example: 7
    request_id: int
    #: `requested`. Example: "requested"
    status: str


class PlanApi:
    """Handlers and declarations of ``/v1/self-serve/plan``. ``usage`` is ``None`` when nothing counts it."""

    def __init__(self, plans: Plans, usage: UsageReports | None) -> None:
        self._plans = plans
        self._usage = usage

    def routes(self) -> tuple[AnyRoute, ...]:
        return (
            read_route(
                name="selfserve.plan.get", path="/v1/self-serve/plan",
                summary="The tenant's plan, entitlements and quota", handler=self.get, action=READ,
                audit_event="selfserve.plan.viewed", response=OwnPlanResponse, legacy=True,
            ),
            write_route(
                name="selfserve.plan.ask_upgrade", method="POST", path="/v1/self-serve/plan/upgrade-request",
                summary="Ask the operator for another plan", handler=self.ask, action=ASK,
                audit_event="plan.upgrade_requested", idempotency="accepted", response=PlanUpgradeResponse,
                body=PlanUpgradeRequestPayload, status=202, errors=("NOT_FOUND",), legacy=True,
            ),
        )  # fmt: skip

    async def get(self, request: Request[Empty, Empty]) -> OwnPlanResponse:
        subscription = await self._plans.subscription(request.tx.tenant_id)
        # One day of requests is asked for, since only the quota is shown.
        measured = None if self._usage is None else await self._usage.summary(request.tx, 1)
        return OwnPlanResponse(
            tenant_id=request.tx.tenant_id,
            plan_id=subscription.plan_id,
            plan_name=subscription.plan_name,
            entitlements=[
                EntitlementView(
                    feature_key=f"feature.{e.feature_key}", enabled=e.enabled, config_json=e.config
                )
                for e in subscription.entitlements.values()
            ],
            quota=quota(measured),
        )

    async def ask(self, request: Request[PlanUpgradeRequestPayload, Empty]) -> Response:
        target = request.body.target_plan
        request_id = await self._plans.ask_upgrade(
            request.tx, target, request.body.reason, request.principal.credential_id
        )
        return Response(
            data=PlanUpgradeResponse(request_id=request_id, status="pending"),
            status=202,
            audit=AuditDetails(
                resource_type="plan_upgrade_request",
                resource_id=str(request_id),
                metadata={"target_plan": target},
            ),
        )
