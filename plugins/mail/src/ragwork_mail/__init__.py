"""Plugin ``mail``: messages and what is attached to them."""

from ragwork_hooks.plugin import PluginInfo, hookimpl


class MailPlugin:
    """Registers the provider ``mail`` of kind ``parser``. It has no settings."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="mail",
            summary="Files: mail with its headers, attachments as documents of their own",
        )


plugin = MailPlugin()
