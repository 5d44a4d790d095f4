"""The tracer that is configured: a plugin's, else one that does nothing."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Final

from ragwork_hooks.errors import ConfigError
from ragwork_hooks.infrastructure import KernelTracer, TracingProvider
from ragwork_hooks.provider_kinds import ProviderKind
from ragwork_hooks.providers import ProviderMiddleware
from ragwork_hooks.storage import Database

from ragwork_kernel.base import discovery
from ragwork_kernel.base.config import KernelConfig

GROUP: Final = "ragwork.tracing"
OTLP: Final = "otlp"


def make_tracer(config: KernelConfig) -> KernelTracer:
    """The tracer that ``OTEL_EXPORTER_OTLP_ENDPOINT`` asks for. Raises ``ConfigError`` when nothing exports."""
    if config.otlp_endpoint is None:
        return NoTracer()
    missing = ConfigError(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "is set and nothing installed exports spans",
        "install ragwork-otlp, or unset it",
    )
    provider: TracingProvider = discovery.needed(GROUP, OTLP, missing)
    return provider.open(config.otlp_endpoint, config.app_name)


def _told(_status: int) -> None:
    """Nobody wants to know."""


class _Nothing(AbstractAsyncContextManager[None], AbstractContextManager[Callable[[int], None]]):
    """A context that does nothing; one object serves every span."""

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_exception: object) -> None: ...

    def __enter__(self) -> Callable[[int], None]:
        return _told

    def __exit__(self, *_exception: object) -> None: ...


class NoTracer:
    """Implements ``ragwork_hooks.infrastructure.KernelTracer``: everything as it was."""

    def __init__(self) -> None:
        self._nothing = _Nothing()

    def span(self, name: str, **attributes: str | int | float | bool) -> AbstractAsyncContextManager[None]:
        return self._nothing

    def request(self, method: str, route: str) -> AbstractContextManager[Callable[[int], None]]:
        return self._nothing

    def database(self, db: Database) -> Database:
        return db

    def provider_middleware(self, kinds: Sequence[ProviderKind[Any]]) -> tuple[ProviderMiddleware[Any], ...]:
        return ()

    def close(self) -> None: ...
