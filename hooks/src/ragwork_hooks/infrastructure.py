"""Infrastructure that is opened before any plugin: the database, shared state, blobs, traces."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import attrs

from ragwork_hooks.operations import Tracer
from ragwork_hooks.provider_kinds import ProviderKind
from ragwork_hooks.providers import ProviderMiddleware
from ragwork_hooks.storage import Blob, Database, DatabaseServer, SharedState


@attrs.frozen(kw_only=True)
class DatabaseProvider:
    """An entry point of the group ``ragwork.database``, opened in phase 0 from the data directory alone."""

    name: str
    open: Callable[[Path], DatabaseServer]


@attrs.frozen(kw_only=True)
class StateProvider:
    """An entry point of the group ``ragwork.state``: shared state of many processes, or ``memory``, of one.

    ``open`` is called in phase 0 with ``REDIS_URL`` (empty when unset); it must not wait for the store: what is
    away later may be away now. ``SharedState`` calls then raise ``ProviderError`` STATE_UNAVAILABLE.
    """

    name: str
    open: Callable[[str], AbstractAsyncContextManager[SharedState]]
    #: Raises when the store does not answer; shown as a dependency in health and metrics. ``None``: it can't be away.
    check: Callable[[SharedState], Awaitable[None]] | None


@attrs.frozen(kw_only=True)
class TracingProvider:
    """An entry point of the group ``ragwork.tracing``, opened in phase 0 with the collector's endpoint and the name
    of the service.
    """

    name: str
    open: Callable[[str, str], "KernelTracer"]


@attrs.frozen(kw_only=True)
class BlobProvider:
    """An entry point of the group ``ragwork.blob``, opened in phase 0 with the folder of ``BLOB_DIR``."""

    name: str
    open: Callable[[Path], Blob]


class KernelTracer(Tracer, Protocol):
    """What a ``TracingProvider`` makes: a ``Tracer``, and what the kernel traces for itself."""

    def request(self, method: str, route: str) -> AbstractContextManager[Callable[[int], None]]:
        """A span around one request; what it gives is called with the answer's status."""

    def database(self, db: Database) -> Database:
        """``db`` with a span per statement."""

    def provider_middleware(self, kinds: Sequence[ProviderKind[Any]]) -> tuple[ProviderMiddleware[Any], ...]:
        """Layers around the providers of ``kinds``, one span per call."""

    def close(self) -> None:
        """Export what is left. Blocks for a few seconds at most."""
