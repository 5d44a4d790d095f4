"""Plugin ``rerank``: passages reranked by a service outside."""

from ragwork_hooks.plugin import PluginInfo, hookimpl

from ragwork_rerank.config import RerankConfig


class RerankPlugin:
    """Registers the provider ``rerank`` of kind ``reranker``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="rerank",
            summary="Passages reranked by a service that speaks Cohere's, Jina's or TEI's wire format",
            config=RerankConfig,
        )


plugin = RerankPlugin()
