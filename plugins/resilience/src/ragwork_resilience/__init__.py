"""Plugin ``resilience``: timeouts, retries, circuits, shared places and fallbacks around every provider."""

from collections.abc import Callable
from typing import Any, Final

from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, Wrap, hookimpl

from ragwork_resilience.config import ResilienceConfig
from ragwork_resilience.gates import RunGate
from ragwork_resilience.workshop import Workshop

#: Runs that may wait: so many for each place, and so many at least.
WAITING_PER_RUN: Final = 10
LEAST_WAITING: Final = 100


class ResiliencePlugin:
    """The plugin's hook implementations."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        """See ``PluginSpec``."""
        return PluginInfo(
            name="resilience",
            summary="Timeouts, retries, circuits, shared places and fallbacks around every provider",
            config=ResilienceConfig,
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[ResilienceConfig]) -> Contribution:
        """See ``PluginSpec``."""
        services, config = context.services, context.config
        workshop = Workshop(services, config)

        runs = services.shares(
            "runs",
            config.run_concurrency,
            waiting=max(LEAST_WAITING, WAITING_PER_RUN * config.run_concurrency),
            wait_s=config.run_wait_ms / 1000,
        )
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
            admits=(RunGate(runs),),
            lifespan=workshop.tasks.lifespan,
        )


plugin = ResiliencePlugin()
