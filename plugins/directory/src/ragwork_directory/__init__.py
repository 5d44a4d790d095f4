"""Tenants, users, groups and memberships: what every credential attaches to."""

from pathlib import Path

from ragwork_hooks.auth import Directory
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_directory.roster import DirectoryRoster
from ragwork_directory.users import PostgresDirectory


class DirectoryPlugin:
    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="directory",
            summary="tenants, users, groups and memberships",
            provides=(Directory,),
            critical=True,
            schema="directory",
            migrations=Path(__file__).parent / "migrations",
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[object]) -> Contribution:
        return Contribution(
            capabilities={Directory: PostgresDirectory(context.services)}, rosters=(DirectoryRoster(),)
        )


plugin = DirectoryPlugin()
