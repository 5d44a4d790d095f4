"""Rollouts: kill switches and canary percentages, on every process within a second."""

from pathlib import Path

from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_rollouts.areas import AREAS
from ragwork_rollouts.config import RolloutsConfig
from ragwork_rollouts.gates import FeatureGate, SwitchGate
from ragwork_rollouts.routes import RolloutAdminApi
from ragwork_rollouts.store import ControlStore


class RolloutsPlugin:
    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="rollouts",
            summary="kill switches and canary percentages",
            critical=True,
            config=RolloutsConfig,
            explained={
                "KILL_NOTIFICATIONS": "this release sends no notifications; billing webhooks stop with"
                " BILLING_WEBHOOK_ENABLED=false"
            },
            schema="rollouts",
            migrations=Path(__file__).parent / "migrations",
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[RolloutsConfig]) -> Contribution:
        store = ControlStore(context.services, context.config)
        return Contribution(
            areas=AREAS,
            routes=RolloutAdminApi(store).routes(),
            admission_gates=(SwitchGate(store), FeatureGate(store)),
        )


plugin = RolloutsPlugin()
