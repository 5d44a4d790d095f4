"""Plugin ``resilience``: timeouts, retries, circuits, bulkheads and fallbacks around every provider."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, Wrap, hookimpl

from ragwork_resilience.config import ResilienceConfig
from ragwork_resilience.gates import RunGate
from ragwork_resilience.workshop import Workshop


class ResiliencePlugin:
    """The plugin's hook implementations."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        """See ``PluginSpec``."""
        return PluginInfo(
            name="resilience",
            summary="Timeouts, retries, circuits, bulkheads and fallbacks around every provider",
            config=ResilienceConfig,
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[ResilienceConfig]) -> Contribution:
        """See ``PluginSpec``."""
        services, config = context.services, context.config
        workshop = Workshop(services, config)

        @asynccontextmanager
        async def checked() -> AsyncIterator[None]:
            workshop.check_fallback()
            yield

        kinds: dict[str, Callable[[str, Any], Any]] = {
            "retrieval": workshop.retriever,
            "embedding": workshop.embedder,
            "llm": workshop.chat_model,
            "tts": workshop.synthesizer,
            "asr": workshop.recognizer,
            "notification": workshop.channel,
        }
        return Contribution(
            wraps=tuple(Wrap(kind=kind, name="resilience", wrap=wrap) for kind, wrap in kinds.items()),
            admits=(RunGate(config.run_concurrency, config.run_wait_ms / 1000, services.metrics),),
            lifespan=checked,
        )


plugin = ResiliencePlugin()
