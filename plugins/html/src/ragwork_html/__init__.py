"""Plugin ``html``: the main content of web pages, and EPUB books."""

from ragwork_hooks.plugin import PluginInfo, hookimpl


class HtmlPlugin:
    """Registers the provider ``html`` of kind ``parser``. It has no settings."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="html",
            summary="Files: web pages without their navigation, and EPUB books",
        )


plugin = HtmlPlugin()
