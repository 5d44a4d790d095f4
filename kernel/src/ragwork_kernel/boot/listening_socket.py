"""Sockets that are bound before anybody serves, for worker processes that share an address."""

import errno
import os
import socket
from contextlib import closing

from ragwork_hooks.errors import ConfigError

_BAD_HOST = (
    "host",
    "name an address of this machine: 127.0.0.1, 0.0.0.0 for all, or one that `ip address` shows",
)
_BIND_FIXES = {
    errno.EADDRINUSE: ("port", "stop what uses the port or choose another with --port"),
    errno.EACCES: (
        "port",
        "choose a port above 1023 with --port, or run behind a proxy that has the low one",
    ),
}


class SharedAddress:
    """``host``:``port`` (0 picks one), which several sockets of this user may be bound to.

    Raises ``ConfigError`` when it can't be had, also when somebody listens there who would share it.
    """

    def __init__(self, host: str, port: int) -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            self._family: int = found[0][0]
            self._address: tuple[object, ...] = tuple(found[0][4])
            with closing(self._socket()) as alone:
                alone.bind(self._address)
                self._address = alone.getsockname()
        except OSError as error:
            raise cannot_listen(error, host, port) from error

    @property
    def port(self) -> int:
        return int(str(self._address[1]))

    def bound(self) -> socket.socket:
        """Another socket on the address. It gets no connections before it listens."""
        made = self._socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(self._address)
        return made

    def _socket(self) -> socket.socket:
        made = socket.socket(self._family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        return made


def cannot_listen(error: OSError, host: str, port: int) -> ConfigError:
    """Why ``host``:``port`` can't be listened on, and what to do."""
    option, fix = _BIND_FIXES.get(error.errno or 0, _BAD_HOST)
    where = f"--{option} {port if option == 'port' else host}"
    why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    return ConfigError(where, f"can't listen on {host}:{port}: {why}", fix)
