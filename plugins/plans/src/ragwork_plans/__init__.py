"""Plans: which features a tenant has, who may change that, and how it asks for more."""

from pathlib import Path

from ragwork_hooks.plans import Plans
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_plans.areas import AREAS
from ragwork_plans.config import PlansConfig
from ragwork_plans.gate import EntitlementGate
from ragwork_plans.routes import PlanAdminApi
from ragwork_plans.store import PostgresPlans


class PlansPlugin:
    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="plans",
            summary="plans, entitlements, overrides and upgrade requests",
            provides=(Plans,),
            critical=True,
            config=PlansConfig,
            schema="plans",
            migrations=Path(__file__).parent / "migrations",
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[PlansConfig]) -> Contribution:
        services = context.services
        default = context.config.default or ("enterprise" if services.embedded else "free")
        plans = PostgresPlans(services, default)
        return Contribution(
            areas=AREAS,
            routes=PlanAdminApi(plans).routes(),
            admission_gates=(EntitlementGate(plans),),
            capabilities={Plans: plans},
        )


plugin = PlansPlugin()
