"""The gate of features: what a tenant's plan does not include is refused before it costs anything."""

from ragwork_hooks.admission import Admission, AdmissionRequest, Stage, Wire
from ragwork_hooks.authz import Deny
from ragwork_hooks.http import AnyRoute

from ragwork_plans import feature_keys
from ragwork_plans.store import PostgresPlans, TenantPlan


class EntitlementGate:
    """Implements ``ragwork_hooks.admission.AdmitGate``. Warm, it asks nobody."""

    name: str = "plans"
    stage: Stage = "entitlement"

    def __init__(self, plans: PostgresPlans) -> None:
        self._plans = plans

    async def admit(self, request: AdmissionRequest) -> Admission | Deny:
        if request.principal is None or request.feature is None:
            return Admission()
        key = feature_keys.catalogued(request.feature)
        tenant_plan = await self._plans.tenant_plan(request.principal.tenant_id)
        return Admission() if tenant_plan.has(key) else _refusal(key, tenant_plan)

    def wire(self, route: AnyRoute) -> Wire:
        return Wire() if route.feature is None else Wire(codes=("FEATURE_NOT_ENABLED",))


def _refusal(key: str, tenant_plan: TenantPlan) -> Deny:
    plans = tenant_plan.included_in.get(key, ())
    where = f"it is part of {' and '.join(plans)}" if plans else "no plan lists it"
    return Deny(
        "FEATURE_NOT_ENABLED",
        f"Feature not enabled for tenant plan {tenant_plan.subscription.plan_id}: {feature_keys.shown(key)}; {where}",
        details={"feature_key": feature_keys.shown(key), "plan_id": tenant_plan.subscription.plan_id},
        audit_event="authz.access.denied",
    )
