"""The agent: ``POST /v1/run`` answers from a corpus as a cited stream, within sessions."""

from collections.abc import Sequence
from pathlib import Path

from ragwork_hooks.answering import Answering
from ragwork_hooks.auth import Directory
from ragwork_hooks.commands import Command
from ragwork_hooks.documents import CorpusSearch, DocumentCatalog
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_agent.areas import AREAS
from ragwork_agent.commands import COMMAND
from ragwork_agent.config import Config
from ragwork_agent.data_store import MessageStore
from ragwork_agent.routes import routes
from ragwork_agent.run.answering import RunAnswering
from ragwork_agent.run.runtime import AgentRuntime


class AgentPlugin:
    """Registers the agent."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="agent",
            summary="streamed, cited answers with sessions, history and audio",
            provides=(Answering,),
            requires=(DocumentCatalog, CorpusSearch),
            optional=(Directory,),
            config=Config,
            secrets=("AUDIO_SIGNING_KEY",),
            schema="agent",
            migrations=Path(__file__).parent / "migrations",
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[Config]) -> Contribution:
        runtime = AgentRuntime.of(context.services, context.config)
        return Contribution(
            areas=AREAS,
            routes=routes(runtime),
            data_stores=(MessageStore(runtime),),
            capabilities={Answering: RunAnswering(runtime)},
            lifespan=runtime.tasks.lifespan,
            warm=runtime.warm,
        )

    @hookimpl
    def ragwork_commands(self) -> Sequence[Command]:
        return (COMMAND,)


plugin = AgentPlugin()
