"""What all runs of a process share: the graph, the settings, the work under way."""

from typing import TYPE_CHECKING

import attrs
from ragwork_hooks.auth import Directory
from ragwork_hooks.documents import CorpusSearch, DocumentCatalog
from ragwork_hooks.provider_kinds import LLM
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.background import BackgroundTasks
from ragwork_toolkit.lazy import LazyImport

from ragwork_agent.config import Config
from ragwork_agent.sessions.session_store import SessionKey, delete_session
from ragwork_agent.speech.speech_service import SpeechService

if TYPE_CHECKING:
    from ragwork_agent.run.graph import Graph


@attrs.frozen(kw_only=True)
class AgentRuntime:
    """Shared by the runs of a process."""

    services: Services
    config: Config
    catalog: DocumentCatalog
    search: CorpusSearch
    voice: SpeechService
    graph: "LazyImport[Graph]" = attrs.field(factory=lambda: LazyImport(_graph))
    tasks: BackgroundTasks = attrs.field(factory=BackgroundTasks)

    @classmethod
    def of(cls, services: Services, config: Config) -> "AgentRuntime":
        """What the plugin's services and settings make."""
        key = services.secrets.key("AUDIO_SIGNING_KEY")
        catalog = services.use(DocumentCatalog)
        return cls(
            services=services,
            config=config,
            catalog=catalog,
            search=services.use(CorpusSearch),
            voice=SpeechService(
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
        await self.graph.get()
        await self.services.providers.open(LLM, self.config.llm_provider)

    async def erase_session(self, tx: Transaction, key: SessionKey) -> bool:
        """Erase a session with its messages and speech; false when the user has none of that id."""
        await self.voice.forget(tx, key)
        return await delete_session(tx, key)


def _graph() -> "Graph":
    from ragwork_agent.run.graph import Graph  # LangGraph takes seconds to import

    return Graph()
