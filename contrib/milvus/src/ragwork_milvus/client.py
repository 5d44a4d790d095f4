"""The vendor's client: imported and connected on first use, called in threads, its errors made ours.

What is typed here is what this plugin uses; the SDK brings no types of its own.
"""

import asyncio
import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from ragwork_hooks.errors import ConfigError, NotConfigured, ProviderError
from ragwork_toolkit.lazy import LazyImport

from ragwork_milvus.config import MilvusConfig

R = TypeVar("R")

#: Not authenticated or not allowed; and away, overloaded or too slow. Milvus' numbers and the wire's names.
_REFUSED: Final = frozenset({"1400", "1401", "UNAUTHENTICATED", "PERMISSION_DENIED"})
_AWAY: Final = frozenset({"2", "8", "UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED"})
_LITE: Final = ".db"
_SERVER: Final = ("http://", "https://", "tcp://", "unix:")


class CollectionClient(Protocol):
    """The part of ``pymilvus.MilvusClient`` that is used. Every call blocks."""

    def list_collections(self, *, timeout: float) -> Sequence[str]: ...

    def load_collection(self, collection_name: str, *, timeout: float) -> None: ...

    def create_collection(
        self, collection_name: str, *, schema: Any, index_params: Any, consistency_level: str, timeout: float
    ) -> None: ...

    def upsert(
        self, collection_name: str, data: Sequence[Mapping[str, object]], *, timeout: float
    ) -> object: ...

    def query(
        self, collection_name: str, filter: str, output_fields: Sequence[str], *, timeout: float
    ) -> Sequence[Mapping[str, Any]]: ...

    def delete(self, collection_name: str, *, filter: str, timeout: float) -> object: ...

    def search(
        self,
        collection_name: str,
        *,
        data: Sequence[Sequence[float]],
        filter: str,
        limit: int,
        output_fields: Sequence[str],
        search_params: Mapping[str, object],
        consistency_level: str,
        timeout: float,
        **grouping: str,
    ) -> Sequence[Sequence[Mapping[str, Any]]]: ...

    def close(self) -> None: ...


class MilvusConnection:
    """One client per kernel, opened when it is first needed."""

    def __init__(self, config: MilvusConfig) -> None:
        self._uri, self._token, self._timeout_s = address(config.uri), config.token, config.timeout_s
        self._client = LazyImport(lambda: _translated(self._open))

    @property
    def lite(self) -> bool:
        """Whether Milvus runs inside this process."""
        return self._uri.endswith(_LITE)

    async def call(self, work: Callable[[CollectionClient, float], R]) -> R:
        """``work(client, timeout in seconds)`` in a thread.

        Raises ``ProviderError`` RETRIEVAL_ERROR for what Milvus refuses, INTEGRATION_UNAVAILABLE when it is away.
        """
        client = await self._client.get()
        return await asyncio.to_thread(_translated, lambda: work(client, self._timeout_s))

    async def aclose(self) -> None:
        """Close the client if there is one. Idempotent."""
        client = await self._client.release()
        if client is not None:
            await asyncio.to_thread(client.close)

    def _open(self) -> CollectionClient:
        if self.lite:
            Path(self._uri).parent.mkdir(parents=True, exist_ok=True)
        pymilvus = importlib.import_module("pymilvus")
        # Without a token of its own the SDK wants an empty text.
        client: CollectionClient = pymilvus.MilvusClient(
            uri=self._uri, token=self._token or "", timeout=self._timeout_s
        )
        return client


def address(uri: str | None) -> str:
    """``uri`` if it names a server or a Milvus Lite file. Raises ``ConfigError``, ``NotConfigured`` without one."""
    where, fix = "MILVUS_URI", "set it to http(s)://host:19530, or to a file ending in .db for Milvus Lite"
    if not uri:
        raise NotConfigured(
            f"set {where} to http(s)://host:19530, or to a file ending in .db for Milvus Lite"
        )
    if not uri.startswith(_SERVER) and (not uri.endswith(_LITE) or "://" in uri):
        raise ConfigError(where, "is neither a server's address nor a file ending in .db", fix)
    return uri


def _translated(work: Callable[[], R]) -> R:
    exceptions = importlib.import_module("pymilvus.exceptions")
    grpc = importlib.import_module("grpc")
    try:
        return work()
    except exceptions.MilvusException as error:
        raise _of_code(error.code, retryable=error.retriable) from error
    except grpc.RpcError as error:
        raise _of_code(error.code(), retryable=False) from error


def _of_code(code: Any, *, retryable: bool) -> ProviderError:
    """``code`` is Milvus' own number, or the wire's status when the call did not get that far."""
    status = str(int(code)) if isinstance(code, int) else str(code.name)
    if status in _REFUSED:
        return ProviderError("RETRIEVAL_ERROR", "Milvus refused the credential: check MILVUS_TOKEN")
    if status in _AWAY:
        return ProviderError(
            "INTEGRATION_UNAVAILABLE",
            "Milvus did not answer: check MILVUS_URI and that it runs",
            retryable=True,
        )
    return ProviderError("RETRIEVAL_ERROR", f"Milvus answered with the error {status}", retryable=retryable)
