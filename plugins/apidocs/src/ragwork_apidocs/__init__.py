"""Plugin ``apidocs``: the API's description as OpenAPI, for programs and for people."""

from collections.abc import Sequence

from ragwork_hooks.commands import Command
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_apidocs.commands import COMMANDS
from ragwork_apidocs.routes import AREA, ApiDocsRoutes


class ApiDocsPlugin:
    """Describes whatever routes the assembly has."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        """See ``PluginSpec``."""
        return PluginInfo(name="apidocs", summary="the API's description: OpenAPI 3.1 and a page for people")

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[None]) -> Contribution:
        """See ``PluginSpec``."""
        return Contribution(areas=(AREA,), routes=ApiDocsRoutes(context.services).declare())

    @hookimpl
    def ragwork_commands(self) -> Sequence[Command]:
        """See ``PluginSpec``."""
        return COMMANDS


plugin = ApiDocsPlugin()
