"""Plugin ``resilience``: timeouts, retries, circuits, shared places and fallbacks around every provider."""

from typing import Final

from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl
from ragwork_hooks.provider_kinds import ASR, EMBEDDING, LLM, NOTIFICATION, RETRIEVAL, TTS
from ragwork_hooks.providers import ProviderMiddleware

from ragwork_resilience.config import ResilienceConfig
from ragwork_resilience.gates import RunGate
from ragwork_resilience.provider_wrapping import ProviderWrapping

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
        wrapping = ProviderWrapping(services, config)

        runs = services.shares(
            "runs",
            config.run_concurrency,
            waiting=max(LEAST_WAITING, WAITING_PER_RUN * config.run_concurrency),
            wait_s=config.run_wait_ms / 1000,
        )
        return Contribution(
            provider_middleware=(
                ProviderMiddleware(kind=RETRIEVAL, name="resilience", wrap=wrapping.retriever),
                ProviderMiddleware(kind=EMBEDDING, name="resilience", wrap=wrapping.embedder),
                ProviderMiddleware(kind=LLM, name="resilience", wrap=wrapping.chat_model),
                ProviderMiddleware(kind=TTS, name="resilience", wrap=wrapping.synthesizer),
                ProviderMiddleware(kind=ASR, name="resilience", wrap=wrapping.recognizer),
                ProviderMiddleware(kind=NOTIFICATION, name="resilience", wrap=wrapping.channel),
            ),
            admission_gates=(RunGate(runs),),
            lifespan=wrapping.tasks.lifespan,
        )


plugin = ResiliencePlugin()
