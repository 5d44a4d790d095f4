"""Plugin ``vertex``: Vertex AI Search as a retriever, Gemini as a chat model, Google's embeddings."""

from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_vertex.config import VertexConfig, ready


class VertexPlugin:
    """Registers ``gcp_vertex`` of the kind ``retrieval``, and ``vertex`` of the kinds ``llm`` and ``embedding``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="vertex",
            summary="Retrieval from Vertex AI Search, chat on Gemini, Google's embeddings",
            config=VertexConfig,
            reads=("GOOGLE_<NAME>", "VERTEX_CREDENTIALS<NAME>"),
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[VertexConfig]) -> Contribution:
        missing = ready(context.config) is not None
        return Contribution(off="set GOOGLE_CLOUD_PROJECT and GOOGLE_CLOUD_LOCATION" if missing else None)


plugin = VertexPlugin()
