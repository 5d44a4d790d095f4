"""Plugin ``devkit``: commands for those who write plugins."""

from collections.abc import Sequence

from ragwork_hooks.commands import Command, OfflineCommand
from ragwork_hooks.plugin import PluginInfo, hookimpl

from ragwork_devkit.commands import TOOLS


class DevkitPlugin:
    """Commands only: a server does nothing else for having it."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        """See ``PluginSpec``."""
        return PluginInfo(
            name="devkit", summary="writes and tests plugins: `ragwork plugin new`, `plugin test`"
        )

    @hookimpl
    def ragwork_commands(self) -> Sequence[Command | OfflineCommand]:
        """See ``PluginSpec``."""
        return TOOLS


plugin = DevkitPlugin()
