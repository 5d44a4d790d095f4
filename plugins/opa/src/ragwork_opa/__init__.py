"""Plugin ``opa``: policies in Rego, decided by an Open Policy Agent beside the server."""

from ragwork_hooks.operations import HealthCheck
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_opa.config import OpaConfig


class OpaPlugin:
    """Registers the provider ``opa`` of kind ``policy_engine`` and a probe of the agent."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="opa",
            summary="Policies in Rego, decided by an Open Policy Agent beside the server",
            config=OpaConfig,
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[OpaConfig]) -> Contribution:
        from ragwork_opa.client import OpaClient

        client = OpaClient(context.services.egress, context.config)
        return Contribution(probes=(HealthCheck(component="opa", check=client.health),))


plugin = OpaPlugin()
