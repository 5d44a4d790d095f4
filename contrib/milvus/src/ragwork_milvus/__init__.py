"""Plugin ``milvus``: retrieval on a distributed engine that mirrors the local index."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from ragwork_hooks.commands import Command
from ragwork_hooks.operations import HealthCheck
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl
from ragwork_hooks.retrieval import PassageSource

from ragwork_milvus.commands import COMMANDS
from ragwork_milvus.config import MilvusConfig
from ragwork_milvus.engine import Engine
from ragwork_milvus.mirror import Mirror


class MilvusPlugin:
    """Provides the retrieval provider ``milvus`` and the sink that feeds its index."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        """See ``PluginSpec``."""
        return PluginInfo(
            name="milvus",
            summary="Retrieval on Milvus Lite or a Milvus cluster",
            provides=(Engine, Mirror),
            requires=(PassageSource,),
            config=MilvusConfig,
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[MilvusConfig]) -> Contribution:
        """See ``PluginSpec``. Raises ``NotConfigured`` without a ``MILVUS_URI``, else what ``address`` raises."""
        services = context.services
        engine = Engine(context.config)
        mirror = Mirror(services.db, services.use(PassageSource), engine)

        @asynccontextmanager
        async def lifespan() -> AsyncIterator[None]:
            try:
                yield
            finally:
                await mirror.drain()
                await engine.aclose()

        return Contribution(
            sinks=(mirror,),
            probes=(HealthCheck(component="milvus", check=engine.ping),),
            capabilities={Engine: engine, Mirror: mirror},
            lifespan=lifespan,
        )

    @hookimpl
    def ragwork_commands(self) -> Sequence[Command]:
        """See ``PluginSpec``."""
        return COMMANDS


plugin = MilvusPlugin()
