"""A plugin, and providers of it."""

from ragwork_hooks.plugin import PluginInfo, hookimpl
from ragwork_hooks.providers import Provider


class Plugin:
    @hookimpl
    def ragwork_info(self):
        return PluginInfo(name="planted", summary="planted faults")


plugin = Plugin()


def offer(made):
    async def open(context):
        return made()

    return Provider(name="planted", open=open)
