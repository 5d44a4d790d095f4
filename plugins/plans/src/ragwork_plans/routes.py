"""The admin API of plans: anybody's admin may read the own plan, only platform scope may change one."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import text
from ragwork_hooks.http import AnyRoute, Empty, Request, Response
from ragwork_hooks.plans import Entitlement
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.routes import platform_write_route, read_route

from ragwork_plans import feature_keys
from ragwork_plans.store import PostgresPlans

MAX_CONFIG_BYTES: Final = 16_384

READ: Final = Action(name="plan.read", role=Role.ADMIN)
ASSIGN: Final = Action(name="plan.assign", role=Role.ADMIN, platform=True)
OVERRIDE: Final = Action(name="plan.override", role=Role.ADMIN, platform=True)


@attrs.frozen(kw_only=True)
class PlanAssignmentRequest:
    """The plan that a tenant gets."""

    #: `free`, `pro`, `enterprise`, or another plan of the list. Example: "pro"
    plan_id: str = text(min_length=1, max_length=64)


@attrs.frozen(kw_only=True)
class FeatureOverrideRequest:
    """One feature for one tenant, whatever its plan. Give at least one of `enabled` and `config_json`."""

    #: The feature, with or without `feature.` before it. Example: "feature.tts"
    feature_key: str = text(min_length=1, max_length=128)
    #: Whether the tenant has it; null leaves that to the plan. Example: true
    enabled: bool | None = None
    #: Settings that go with it; null for the plan's. Example: {"voices": ["nova"]}
    config_json: dict[str, object] | None = None


@attrs.frozen(kw_only=True)
class PlanFeatureResponse:
    """A feature of a plan, or of a tenant."""

    #: The feature. Example: "feature.tts"
    feature_key: str
    #: Whether the tenant has it. Example: true
    enabled: bool
    #: Settings that go with it; null for none. Example: {"voices": ["nova"]}
    config_json: Mapping[str, object] | None


@attrs.frozen(kw_only=True)
class PlanResponse:
    """A plan."""

    #: What assignments call it. Example: "pro"
    id: str
    #: What people call it. Example: "Pro"
    name: str
    #: Whether it can still be given. Example: true
    is_active: bool
    #: What it includes.
    features: list[PlanFeatureResponse]


@attrs.frozen(kw_only=True)
class TenantPlanResponse:
    """A tenant's plan, with the features that hold for it."""

    #: The tenant. Example: "t1"
    tenant_id: str
    #: Its plan. Example: "pro"
    plan_id: str
    #: What people call the plan. Example: "Pro"
    plan_name: str | None
    #: Since when; null without an assignment.
    effective_from: datetime | None
    #: Until when; null for no end. Example: null
    effective_to: datetime | None
    #: Whether it holds now. Example: true
    is_active: bool
    #: Every feature, overrides taken into account.
    entitlements: list[PlanFeatureResponse]


class PlanAdminApi:
    """Handlers and declarations of ``/v1/admin/plans``."""

    def __init__(self, plans: PostgresPlans) -> None:
        self._plans = plans

    def routes(self) -> tuple[AnyRoute, ...]:
        return (
            read_route(
                name="plans.list", path="/v1/admin/plans", summary="All plans and what they include",
                handler=self.list, action=READ, stale_reads=True, response=list[PlanResponse], legacy=True,
            ),
            read_route(
                name="plans.get", path="/v1/admin/plans/{tenant_id}",
                summary="A tenant's plan and entitlements", handler=self.get, action=READ,
                response=TenantPlanResponse, errors=("AUTH_FORBIDDEN",), legacy=True,
            ),
            platform_write_route(
                name="plans.assign", method="PATCH", path="/v1/admin/plans/{tenant_id}",
                summary="Give a tenant a plan", handler=self.assign, action=ASSIGN,
                audit_event="plan.assignment.updated", idempotency="accepted", response=TenantPlanResponse,
                body=PlanAssignmentRequest, errors=("AUTH_FORBIDDEN", "NOT_FOUND"), legacy=True,
            ),
            platform_write_route(
                name="plans.override", method="PATCH", path="/v1/admin/plans/{tenant_id}/overrides",
                summary="Set a feature for one tenant, whatever its plan", handler=self.override,
                action=OVERRIDE, audit_event="plan.override.updated", idempotency="accepted",
                response=TenantPlanResponse, body=FeatureOverrideRequest,
                errors=("AUTH_FORBIDDEN", "VALIDATION_ERROR"), legacy=True,
            ),
        )  # fmt: skip

    async def list(self, request: Request[Empty, Empty]) -> list[PlanResponse]:
        return [
            PlanResponse(
                id=plan.id, name=plan.name, is_active=plan.is_active, features=_features(plan.entitlements)
            )
            for plan in await self._plans.catalogue(request.tx)
        ]

    async def get(self, request: Request[Empty, Empty]) -> TenantPlanResponse:
        return await self._response(request.tx)

    async def assign(self, request: Request[PlanAssignmentRequest, Empty]) -> Response:
        changed = await self._plans.assign(request.tx, request.body.plan_id)
        note = _note(request, {"plan_id": request.body.plan_id})
        return Response(data=await self._response(request.tx), changed=changed, audit=note)

    async def override(self, request: Request[FeatureOverrideRequest, Empty]) -> Response:
        body = request.body
        key = await self._checked(request.tx, body)
        await self._plans.override(request.tx, key, body.enabled, body.config_json)
        # What a configuration says is the operator's business; the record has its keys only.
        changes = {"feature_key": feature_keys.shown(key), "enabled": body.enabled}
        note = _note(request, {**changes, "config_keys": sorted(body.config_json or ())})
        return Response(data=await self._response(request.tx), audit=note)

    async def _checked(self, tx: Transaction, body: FeatureOverrideRequest) -> str:
        """The catalogue's name of the feature. Raises ``Problem`` 422."""
        known = (await self._plans.read(tx)).subscription.entitlements
        key = feature_keys.catalogued(body.feature_key)
        if key not in known:
            hint = feature_keys.nearest(feature_keys.shown(key), map(feature_keys.shown, known))
            raise Problem("VALIDATION_ERROR", f"feature_key {body.feature_key!r} is not known: {hint}")
        if body.enabled is None and body.config_json is None:
            raise Problem("VALIDATION_ERROR", "give enabled, config_json or both")
        if len(json.dumps(body.config_json)) > MAX_CONFIG_BYTES:
            raise Problem("VALIDATION_ERROR", f"config_json is larger than {MAX_CONFIG_BYTES} bytes")
        return key

    async def _response(self, tx: Transaction) -> TenantPlanResponse:
        tenant_plan = await self._plans.read(tx)
        subscription = tenant_plan.subscription
        return TenantPlanResponse(
            tenant_id=tx.tenant_id,
            plan_id=subscription.plan_id,
            plan_name=subscription.plan_name,
            effective_from=tenant_plan.effective_from,
            effective_to=None,
            is_active=tenant_plan.is_active,
            entitlements=_features(subscription.entitlements.values()),
        )


def _note(request: Request[Any, Any], metadata: Mapping[str, object]) -> AuditDetails:
    return AuditDetails(resource_type="plan", resource_id=request.tx.tenant_id, metadata=metadata)


def _features(entitlements: Iterable[Entitlement]) -> list[PlanFeatureResponse]:
    return [
        PlanFeatureResponse(
            feature_key=feature_keys.shown(e.feature_key), enabled=e.enabled, config_json=e.config
        )
        for e in entitlements
    ]
