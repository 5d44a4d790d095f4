"""Plugin ``data``: tables in CSV and TSV, JSON, JSON Lines and notebooks."""

from ragwork_hooks.plugin import PluginInfo, hookimpl


class DataPlugin:
    """Registers the provider ``data`` of kind ``parser``. It has no settings."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="data",
            summary="Files: CSV and TSV of any dialect, JSON, JSON Lines and notebooks",
        )


plugin = DataPlugin()
