"""Embedded Postgres: the default database, for one machine, without anything to install beside it."""

from ragwork_hooks.plugin import PluginInfo, hookimpl


class EmbeddedPlugin:
    """Names the plugin; the server itself is the provider ``embedded`` of kind ``database``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="embedded",
            summary="Postgres 18 with pgvector from a wheel, run in the data directory",
        )


plugin = EmbeddedPlugin()
