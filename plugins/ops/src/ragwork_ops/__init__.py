"""What operators look at: health, metrics, objectives, maintenance and why a request was refused."""

from pathlib import Path

from ragwork_hooks.audit import AuditLog
from ragwork_hooks.documents import DocumentCatalog
from ragwork_hooks.jobs import PeriodicTask
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_ops.areas import AREAS
from ragwork_ops.config import OpsConfig
from ragwork_ops.explain import Explanations
from ragwork_ops.routes import OpsRoutes
from ragwork_ops.signals import signals
from ragwork_ops.traffic import RequestStats

SAVE_EVERY_S = 10.0
SHARE_EVERY_S = 0.5


class OpsPlugin:
    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="ops",
            summary="operators' routes: health, metrics, objectives, maintenance, explain",
            optional=(AuditLog, DocumentCatalog),
            config=OpsConfig,
            schema="ops",
            migrations=Path(__file__).parent / "migrations",
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[OpsConfig]) -> Contribution:
        services = context.services
        traffic, explanations = RequestStats(services), Explanations(services)
        routes = OpsRoutes(
            services=services, config=context.config, traffic=traffic, explanations=explanations
        )
        return Contribution(
            areas=AREAS,
            routes=routes.routes(),
            observers=(traffic, explanations),
            signals=signals(traffic.last_hour, services.clock.now),
            tickers=(
                PeriodicTask(name="ops.traffic", every_s=SAVE_EVERY_S, run=traffic.save),
                PeriodicTask(name="ops.explanations", every_s=SHARE_EVERY_S, run=explanations.share),
            ),
        )


plugin = OpsPlugin()
