"""Roles: reader < editor < admin, and the platform flag beside them."""

from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_rbac.gate import RoleGate


class RbacPlugin:
    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(name="rbac", summary="minimum role and platform scope of actions", critical=True)

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[object]) -> Contribution:
        return Contribution(gates=(RoleGate(),))


plugin = RbacPlugin()
