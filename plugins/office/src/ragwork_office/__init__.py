"""Plugin ``office``: Word, PowerPoint and Excel files."""

from ragwork_hooks.plugin import PluginInfo, hookimpl


class OfficePlugin:
    """Registers the provider ``office`` of kind ``parser``. It has no settings."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="office",
            summary="Files: Word, PowerPoint with notes, and Excel with column names, old and new",
        )


plugin = OfficePlugin()
