"""Self-serve: what a tenant's admin does without an operator."""

from ragwork_hooks.audit import AuditLog
from ragwork_hooks.auth import ApiKeys
from ragwork_hooks.documents import DocumentCatalog
from ragwork_hooks.metering import UsageReports
from ragwork_hooks.plans import Plans
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_selfserve.areas import AREAS
from ragwork_selfserve.keys import KeysApi
from ragwork_selfserve.plan import PlanApi
from ragwork_selfserve.usage import UsageApi


class SelfServePlugin:
    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="selfserve",
            summary="a tenant's own keys, usage and plan",
            requires=(ApiKeys,),
            optional=(Plans, UsageReports, AuditLog, DocumentCatalog),
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[object]) -> Contribution:
        services = context.services
        metered = services.use_optional(UsageReports)
        usage = UsageApi(
            usage=metered,
            log=services.use_optional(AuditLog),
            documents=services.use_optional(DocumentCatalog),
            now=services.clock.now,
        )
        plans = services.use_optional(Plans)
        return Contribution(
            areas=AREAS,
            routes=(
                *KeysApi(services.use(ApiKeys)).routes(),
                *usage.routes(),
                *(PlanApi(plans, metered).routes() if plans is not None else ()),
            ),
        )


plugin = SelfServePlugin()
