"""The official client over REST, on a connection that can be shut down. Imports the SDK: import this lazily."""

import socket
import threading
from collections.abc import Mapping
from typing import Any

from google.auth.transport.requests import AuthorizedSession
from google.cloud.discoveryengine_v1 import SearchRequest, SearchResponse, SearchServiceClient
from google.cloud.discoveryengine_v1.services.search_service.transports.rest import SearchServiceRestTransport
from ragwork_toolkit.vendor.cancellable_threads import Call, shut_down
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

from ragwork_vertex.credentials import GoogleIdentity
from ragwork_vertex.search_clients import SearchTarget


class RestSearchClient:
    """Implements ``SearchClient``."""

    def __init__(self, target: SearchTarget, identity: GoogleIdentity) -> None:
        self.target = target
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None
        self._cut = False
        self._transport = _Transport(self, target.endpoint, identity)
        self._client = SearchServiceClient(transport=self._transport)

    def search(self, request: Mapping[str, object], timeout_s: float) -> Mapping[str, object]:
        found = self._client.search(SearchRequest(request), retry=None, timeout=timeout_s)
        page = next(found.pages)
        answer: dict[str, object] = SearchResponse.to_dict(page, preserving_proto_field_name=False)
        return answer

    def begin(self, call: Call) -> None:
        with self._lock:
            self._cut = False

    def cut(self, call: Call) -> None:
        with self._lock:
            self._cut = True
            if self._sock is not None:
                shut_down(self._sock)

    def close(self) -> None:
        self._transport.close()  # type: ignore[no-untyped-call]

    def connected(self, sock: socket.socket) -> None:
        """Note the present connection. Raises ``ConnectionAbortedError`` when the call is over already."""
        with self._lock:
            if self._cut:
                raise ConnectionAbortedError("the call was cut off")
            self._sock = sock


class _Transport(SearchServiceRestTransport):
    """Sends over the client's connection, once: no redirects, and no second try after a 401."""

    def __init__(self, client: RestSearchClient, endpoint: str, identity: GoogleIdentity) -> None:
        super().__init__(host=endpoint, credentials=identity.credentials, always_use_jwt_access=True)
        session: AuthorizedSession = self._session
        session.max_redirects = 0
        session._max_refresh_attempts = 0  # the SDK has no public way; a test counts the requests
        adapter = _adapter(client)
        session.mount("https://", adapter)
        session.mount("http://", adapter)


def _adapter(client: RestSearchClient) -> HTTPAdapter:
    """An adapter whose connections report to ``client``."""

    class PlainSearchConnection(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            client.connected(self.sock)

    class SecureSearchConnection(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            client.connected(self.sock)

    class PlainSearchPool(HTTPConnectionPool):
        ConnectionCls = PlainSearchConnection

    class SecureSearchPool(HTTPSConnectionPool):
        ConnectionCls = SecureSearchConnection

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self._watch(self.poolmanager)

        def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
            manager = super().proxy_manager_for(*args, **kwargs)
            self._watch(manager)
            return manager

        def _watch(self, manager: PoolManager) -> None:
            manager.pool_classes_by_scheme = {"http": PlainSearchPool, "https": SecureSearchPool}

    return Adapter(pool_connections=1, pool_maxsize=1)
