"""Plugin ``rego``: policies in Rego, decided by this server itself."""

from ragwork_hooks.plugin import PluginInfo, hookimpl

from ragwork_rego.config import RegoConfig


class RegoPlugin:
    """Registers the provider ``rego`` of kind ``policy_engine``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="rego",
            summary="Policies in Rego, decided in processes of this server",
            config=RegoConfig,
        )


plugin = RegoPlugin()
