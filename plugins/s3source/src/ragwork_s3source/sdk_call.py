"""The SDK's requests, sent by the platform's egress client: vetted, bounded, and ended when their caller leaves.

The SDK signs a request and understands its answer, in a thread; in between it asks the handlers of its event
``before-send``, and what one of them gives is the answer.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextvars import ContextVar
from io import BytesIO
from typing import Any, Final, Literal, TypeVar, cast

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.services import Egress, EgressResponse

T = TypeVar("T")

#: What the client decides itself.
_OWN_HEADERS: Final = frozenset({"accept-encoding", "connection", "content-length", "expect", "host"})


class SdkCall:
    """One call of the SDK, which may be more than one request. An answer has ``max_bytes`` at most."""

    def __init__(self, egress: Egress, timeout_s: float, max_bytes: int) -> None:
        self._egress = egress
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._is_over = False
        self._sent: Future[EgressResponse] | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """``call()`` in a thread. Raises what it raises."""
        token = _current.set(self)
        try:
            return await asyncio.to_thread(call)
        finally:
            _current.reset(token)
            self._end()

    def send(self, request: Any) -> Any:
        """The answer to a request of the SDK's, in its thread. Raises ``ProviderError``."""
        with self._lock:
            if self._is_over:
                raise ProviderError("CONNECTOR_ERROR", "the call was given up")
            self._sent = asyncio.run_coroutine_threadsafe(self._request(request), self._loop)
        try:
            answer = self._sent.result()
        except CancelledError as error:
            raise ProviderError("CONNECTOR_ERROR", "the call was given up") from error
        return _as_the_sdk_reads_it(request.url, answer)

    def _end(self) -> None:
        with self._lock:
            self._is_over = True
            if self._sent is not None:
                self._sent.cancel()

    async def _request(self, request: Any) -> EgressResponse:
        headers = {name: _text(value) for name, value in request.headers.items()}
        return await self._egress.request(
            cast(Literal["GET"], request.method),
            request.url,
            headers={name: value for name, value in headers.items() if name.lower() not in _OWN_HEADERS},
            body=request.body or None,
            timeout_s=self._timeout_s,
            max_bytes=self._max_bytes,
        )


_current: ContextVar[SdkCall] = ContextVar("call of the SDK's thread")


def send(request: Any, **_kwargs: object) -> Any:
    """For the SDK's event ``before-send``."""
    return _current.get().send(request)


class _Body(BytesIO):
    """A body as the SDK reads it."""

    def stream(self, *_args: object, **_kwargs: object) -> Any:
        yield self.read()


def _as_the_sdk_reads_it(url: str, answer: EgressResponse) -> Any:
    from botocore.awsrequest import AWSResponse

    return AWSResponse(url, answer.status, cast(Any, dict(answer.headers)), cast(Any, _Body(answer.body)))


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
