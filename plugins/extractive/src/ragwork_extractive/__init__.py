"""Plugin ``extractive``: answers made of the passages' own sentences, without a language model."""

from ragwork_hooks.plugin import PluginInfo, hookimpl


class ExtractivePlugin:
    """Registers the provider ``extractive`` of kind ``llm``; it has no settings."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="extractive",
            summary="Answers with the sentences of the corpus that fit the question, each cited",
        )


plugin = ExtractivePlugin()
