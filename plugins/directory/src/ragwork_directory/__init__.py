"""Tenants, users, groups and memberships: what every credential attaches to."""

from pathlib import Path

from ragwork_hooks.auth import Directory
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_directory.areas import AREAS
from ragwork_directory.config import DirectoryConfig
from ragwork_directory.roster import DirectoryRoster
from ragwork_directory.routes import RoleRequestApi
from ragwork_directory.users import PostgresDirectory


class DirectoryPlugin:
    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="directory",
            summary="tenants, users, groups and memberships, and who must agree before a role rises",
            provides=(Directory,),
            critical=True,
            config=DirectoryConfig,
            schema="directory",
            migrations=Path(__file__).parent / "migrations",
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[DirectoryConfig]) -> Contribution:
        directory = PostgresDirectory(context.services, dual_control=context.config.dual_control)
        return Contribution(
            areas=AREAS,
            routes=RoleRequestApi(directory).routes(),
            rosters=(DirectoryRoster(),),
            capabilities={Directory: directory},
        )


plugin = DirectoryPlugin()
