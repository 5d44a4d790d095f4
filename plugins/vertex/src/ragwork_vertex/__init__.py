"""Plugin ``vertex``: Vertex AI Search as a retriever, Gemini as a chat model, Google's embeddings."""

from ragwork_hooks.plugin import PluginInfo, hookimpl

from ragwork_vertex.config import VertexConfig


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


plugin = VertexPlugin()
