"""Plugin ``anthropic``: chat over Anthropic's Messages API."""

from ragwork_hooks.plugin import PluginInfo, hookimpl

from ragwork_anthropic.config import AnthropicConfig


class AnthropicPlugin:
    """Registers the provider ``anthropic`` of kind ``llm``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="anthropic",
            summary="Chat with Anthropic's models over its Messages API",
            config=AnthropicConfig,
            # The vendor's SDK knows these by itself.
            reads=("ANTHROPIC_CUSTOM_HEADERS", "ANTHROPIC_LOG"),
        )


plugin = AnthropicPlugin()
