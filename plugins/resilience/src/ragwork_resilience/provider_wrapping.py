"""Puts the layers together: which provider gets a guard of which policy, and which gets stand-ins."""

import logging
from typing import Final

import attrs
from ragwork_hooks.llm import ChatModel
from ragwork_hooks.notification import Channel
from ragwork_hooks.retrieval import Embedder, Retriever
from ragwork_hooks.services import Services
from ragwork_hooks.speech import SpeechRecognizer, SpeechSynthesizer
from ragwork_toolkit.background import BackgroundTasks

from ragwork_resilience.breaker import Breaker, Circuits, CircuitState
from ragwork_resilience.config import ResilienceConfig
from ragwork_resilience.fallback import FallbackProviders, ModelWithFallback, RetrieverWithFallback
from ragwork_resilience.guard import Guard
from ragwork_resilience.guarded_providers import (
    GuardedChannel,
    GuardedEmbedder,
    GuardedModel,
    GuardedRecognizer,
    GuardedRetriever,
    GuardedSynthesizer,
)
from ragwork_resilience.retry import too_many

log = logging.getLogger(__name__)

#: Calls that may wait for each place at a provider: more would not be served within their time.
_WAITING_PER_PLACE: Final = 10
#: Seconds at shutdown for what is still to be told about calls that were given up.
_FINISH_S: Final = 1.0


class ProviderWrapping:
    """Wraps providers of every kind. A provider of this process is left as it is, but for stand-ins."""

    def __init__(self, services: Services, config: ResilienceConfig) -> None:
        self._services = services
        self._config = config
        self.tasks: Final = BackgroundTasks(finish_s=_FINISH_S)
        self._bench: Final = FallbackProviders(providers=services.providers, metrics=services.metrics)

    def retriever(self, name: str, inner: Retriever) -> Retriever:
        """``inner`` guarded, with the stand-ins that queries name."""
        if not self._local(name):
            inner = GuardedRetriever(inner, self._guard("retrieval", name))
        return RetrieverWithFallback(name, inner, self._bench)

    def embedder(self, name: str, inner: Embedder) -> Embedder:
        """``inner`` guarded. No stand-ins: another model's vectors mean something else."""
        return inner if self._local(name) else GuardedEmbedder(inner, self._guard("embedding", name))

    def chat_model(self, name: str, inner: ChatModel) -> ChatModel:
        """``inner`` guarded, with the stand-ins that requests name, else those of LLM_FALLBACK."""
        if not self._local(name):
            inner = GuardedModel(inner, self._guard("llm", name))
        others = [other for other in self._config.llm_fallback if other != name]
        return ModelWithFallback(name, inner, others, self._bench)

    def synthesizer(self, name: str, inner: SpeechSynthesizer) -> SpeechSynthesizer:
        """``inner`` guarded."""
        return inner if self._local(name) else GuardedSynthesizer(inner, self._guard("tts", name))

    def recognizer(self, name: str, inner: SpeechRecognizer) -> SpeechRecognizer:
        """``inner`` guarded."""
        return inner if self._local(name) else GuardedRecognizer(inner, self._guard("asr", name))

    def channel(self, name: str, inner: Channel) -> Channel:
        """``inner`` guarded, each delivery tried once."""
        return inner if self._local(name) else GuardedChannel(inner, self._guard("notification", name, 1))

    def _local(self, name: str) -> bool:
        return name in self._config.local_providers

    def _guard(self, kind: str, name: str, attempts: int | None = None) -> Guard:
        policy = self._config.policy(kind, name)
        if attempts is not None:
            policy = attrs.evolve(policy, attempts=attempts)
        circuits = Circuits(lambda account: self._circuit(kind, name, account))
        places = self._services.shares(
            f"{kind}.{name}",
            policy.concurrency,
            waiting=_WAITING_PER_PLACE * policy.concurrency,
            refusal=too_many,
        )
        return Guard(name, policy, circuits, self._services.metrics, places, self.tasks)

    def _circuit(self, kind: str, name: str, account: str) -> Breaker:
        def changed(is_open: bool) -> None:
            log.warning("the circuit of %s provider %s is %s", kind, name, "open" if is_open else "closed")
            if is_open:
                self._services.metrics.count(
                    "integrations_provider_cb_open_total", "Circuits that opened", service=name
                )

        def seen(condition: CircuitState) -> None:
            if not account:  # a tenant's own account is not the service's
                self._services.metrics.gauge(
                    "integrations_provider_circuit_state",
                    "The operator's circuit as this process last saw it: 0 closed, 1 half-open, 2 open",
                    condition,
                    service=name,
                )

        return Breaker(
            state=self._services.state,
            scope=self._config.cb_prefix,
            key=f"{kind}:{name}:{account}",
            policy=self._config.breaker(kind, name),
            clock=self._services.clock.monotonic,
            changed=changed,
            seen=seen,
        )
