"""A service that misbehaves below HTTP and above: on threads of its own, so that it acts while a loop is blocked."""

import random
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, Literal, TypeAlias

import attrs

Trouble: TypeAlias = Literal[
    "down",  # nobody listens
    "drops",  # the connection is cut as soon as it was asked
    "not_http",  # what comes back is no HTTP
    "garbage",  # 200 with bytes of noise
    "wrong_json",  # 200 with JSON of another shape
    "refuses",  # 401
    "throttles",  # 429 with advice to wait
    "fails",  # 500
    "hangs",  # asked, and nothing comes back
    "trickles",  # 200, and a byte now and then
    "endless",  # 200, and a body without an end
]
#: Those that end the call by themselves.
ANSWERING: Final[tuple[Trouble, ...]] = (
    "down", "drops", "not_http", "garbage", "wrong_json", "refuses", "throttles", "fails",
)  # fmt: skip
#: Those that go on until the caller leaves.
STAYING: Final[tuple[Trouble, ...]] = ("hangs", "trickles")
#: More than any answer of a service is worth: a reader that takes this much takes everything.
ENDLESS_BYTES: Final = 64 * 1024 * 1024
_NOISE: Final = random.Random(7).randbytes(4096)
_HEAD: Final = "HTTP/1.1 {}\r\nContent-Type: application/json\r\nConnection: close\r\n{}\r\n"


def _said(status: str, body: bytes, more: str = "") -> bytes:
    return _HEAD.format(status, f"Content-Length: {len(body)}\r\n{more}").encode() + body


_ANSWERS: Final[Mapping[str, bytes]] = {
    "drops": b"",
    "not_http": _NOISE,
    "garbage": _said("200 OK", _NOISE),
    "wrong_json": _said("200 OK", b'[{"choices": 7, "data": {"a": null}}]'),
    "refuses": _said("401 Unauthorized", b'{"error": {"message": "no"}}'),
    "throttles": _said("429 Too Many Requests", b'{"error": "slow down"}', "Retry-After: 3\r\n"),
    "fails": _said("500 Internal Server Error", b"<html>oops</html>"),
}


@attrs.define
class BadService:
    """``calls`` were accepted, ``open_calls`` of them have their client still; ``sent`` counts bytes of the body."""

    trouble: Trouble
    port: int
    calls: int = 0
    open_calls: int = 0
    sent: int = 0
    _stop: threading.Event = attrs.field(factory=threading.Event)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hang_up(self) -> None:
        """End every call, so that even who waits for it in vain goes on."""
        self._stop.set()

    def _serve(self, listener: socket.socket) -> None:
        while not self._stop.is_set():
            with suppress(OSError):
                line, _ = listener.accept()
                threading.Thread(target=self._call, args=(line,), daemon=True).start()

    def _call(self, line: socket.socket) -> None:
        with self._lock:
            self.calls += 1
            self.open_calls += 1
        try:
            with line, suppress(OSError):
                line.settimeout(5)
                line.recv(65_536)
                self._answer(line)
        finally:
            with self._lock:
                self.open_calls -= 1

    def _answer(self, line: socket.socket) -> None:
        if self.trouble in _ANSWERS:
            line.sendall(_ANSWERS[self.trouble])
        elif self.trouble == "hangs":
            self._until_left(line)
        elif self.trouble == "trickles":
            line.sendall(_HEAD.format("200 OK", "").encode() + b"[")
            self._until_left(line, b" ")
        else:
            self._pour(line)

    def _until_left(self, line: socket.socket, drop: bytes = b"") -> None:
        """Until the client hangs up or the service is stopped; a ``drop`` every tenth of a second."""
        line.settimeout(0.1)
        while not self._stop.is_set():
            try:
                if not line.recv(65_536):
                    return
            except TimeoutError:
                line.sendall(drop)

    def _pour(self, line: socket.socket) -> None:
        line.sendall(_HEAD.format("200 OK", "").encode())
        block = b"x" * 65_536
        while not self._stop.is_set() and self.sent < ENDLESS_BYTES:
            line.sendall(block)
            self.sent += len(block)


@contextmanager
def bad_service(trouble: Trouble) -> Iterator[BadService]:
    """A service of this kind on a port of the loopback interface."""
    listener = socket.create_server(("127.0.0.1", 0))
    service = BadService(trouble, listener.getsockname()[1])
    if trouble == "down":
        listener.close()
        yield service
        return
    listener.settimeout(0.1)
    acceptor = threading.Thread(target=service._serve, args=(listener,), daemon=True)
    acceptor.start()
    try:
        yield service
    finally:
        service.hang_up()
        acceptor.join()
        listener.close()
