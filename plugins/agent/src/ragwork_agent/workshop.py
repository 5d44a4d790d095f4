"""What all runs of a process share: the graph, the settings, the work under way."""

import asyncio
from typing import TYPE_CHECKING

import attrs
from ragwork_hooks.auth import Directory
from ragwork_hooks.documents import CorpusSearch, DocumentCatalog
from ragwork_hooks.plugin import Services
from ragwork_toolkit.background import BackgroundTasks

from ragwork_agent.audio import Voice
from ragwork_agent.config import Config

if TYPE_CHECKING:
    from ragwork_agent.graph import Graph


class GraphLoader:
    """Builds the graph once, off the event loop: LangGraph takes seconds to import."""

    def __init__(self) -> None:
        self._loading: asyncio.Task[Graph] | None = None

    async def get(self) -> "Graph":
        """The graph; a call before it is built waits, and one that is cancelled cancels only itself."""
        if self._loading is None:
            self._loading = asyncio.create_task(asyncio.to_thread(_build))
        return await asyncio.shield(self._loading)


def _build() -> "Graph":
    from ragwork_agent.graph import Graph

    return Graph()


@attrs.frozen(kw_only=True)
class Workshop:
    """Shared by the runs of a process."""

    services: Services
    config: Config
    catalog: DocumentCatalog
    search: CorpusSearch
    voice: Voice
    graphs: GraphLoader = attrs.field(factory=GraphLoader)
    tasks: BackgroundTasks = attrs.field(factory=BackgroundTasks)

    @classmethod
    def of(cls, services: Services, config: Config) -> "Workshop":
        """What the plugin's services and settings make."""
        key = services.secrets.key("AUDIO_SIGNING_KEY")
        catalog = services.use(DocumentCatalog)
        return cls(
            services=services,
            config=config,
            catalog=catalog,
            search=services.use(CorpusSearch),
            voice=Voice(
                services,
                catalog,
                services.use_optional(Directory),
                provider=config.tts_provider,
                base_url=config.audio_base_url,
                key=key,
            ),
        )

    async def warm(self) -> None:
        """Load the graph and the model before the first run needs them."""
        await self.graphs.get()
        await self.services.providers.chat_model(self.config.llm_provider)
