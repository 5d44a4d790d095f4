"""The database provider ``embedded``: one server per data directory, counted by locks."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

import attrs
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.infrastructure import DatabaseProvider
from ragwork_hooks.storage import DatabaseServer

from ragwork_embedded import binaries, server_user
from ragwork_embedded.cluster import ADMIN, DATABASE, Cluster, halt, lives, postmaster
from ragwork_embedded.data_directory import WHERE, Access, Home, new_password
from ragwork_embedded.locks import POLL_S, FileLock, exclusively

#: Recovery after a crash replays at most a gigabyte of log; more than this is a fault.
PATIENCE_S = 120.0
#: A new cluster and its first data; a start's own log segments (MiB).
SPACE_TO_MAKE, SPACE_TO_START = 200, 48
#: Longest path of a unix socket that every platform takes, in bytes.
LONGEST_SOCKET = 103
PORT_ATTEMPTS = 5


class EmbeddedServer:
    """This process' share in the server of ``data_dir``.

    The first to start brings Postgres up, the last to stop brings it down. A share ends with its
    process, however that dies; a server left without shares is taken over by the next start.
    """

    def __init__(self, data_dir: Path, *, patience_s: float = PATIENCE_S) -> None:
        self._home = Home(Path(os.path.abspath(data_dir)))
        self._patience_s = patience_s
        self._users: FileLock | None = None
        self._access: Access | None = None
        self._one_at_a_time = threading.Lock()

    async def start(self) -> str:
        """Join the server, started if need be; the administrator's URL over TCP on 127.0.0.1.

        Called again it makes sure that the server still runs. Raises ``ConfigError``.
        """
        work = asyncio.create_task(asyncio.to_thread(self._start))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            # The thread goes on regardless: wait for it, or its share would outlive the caller's interest.
            await asyncio.gather(work, return_exceptions=True)
            await self.stop()
            raise

    async def stop(self) -> None:
        """Leave; the last one out stops the server and returns when it is down. Idempotent."""
        await asyncio.to_thread(self._stop)

    @property
    def socket_url(self) -> str | None:
        """The administrator's URL over the unix socket, if started and the path is short enough."""
        if self._access is None:
            return None
        folder = str(self._home.data)
        path = f"{folder}/.s.PGSQL.{self._access.port}"
        if len(os.fsencode(path)) > LONGEST_SOCKET:
            return None
        where = urlencode({"host": folder, "port": self._access.port}, quote_via=quote)
        return f"postgresql://{ADMIN}:{self._access.password}@/{DATABASE}?{where}"

    def _start(self) -> str:
        with self._one_at_a_time, self._explained():
            self._home.prepare()
            with exclusively(self._home.gate, self._patience_s):
                access = self._access = self._join()
            return f"postgresql://{ADMIN}:{access.password}@127.0.0.1:{access.port}/{DATABASE}"

    def _stop(self) -> None:
        with self._one_at_a_time, self._explained():
            if self._users is not None:
                with exclusively(self._home.gate, self._patience_s):
                    self._leave()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the operating system refuses into ``ConfigError``."""
        try:
            yield
        except TimeoutError:
            raise ConfigError(
                WHERE,
                f"another process has been starting or stopping {self._home.data} for too long",
                "end that process and try again",
            ) from None
        except OSError as error:
            raise ConfigError(
                WHERE,
                f"{error.filename or self._home.root}: {error.strerror}",
                f"let one account own and write all of {self._home.root}, and run ragwork as it",
            ) from error

    def _join(self) -> Access:
        if self._users is None:
            self._users = FileLock(self._home.users)
            self._users.share()
        try:
            return self._running()
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        if self._users is not None:
            self._users.close()
            self._users = None
            self._access = None
        users = FileLock(self._home.users)
        try:
            if users.try_exclusive():
                halt(self._home)
        finally:
            users.close()

    def _running(self) -> Access:
        """The access to a server that is ready, launched here when no process of it lives."""
        deadline = time.monotonic() + self._patience_s
        launches = 0
        while True:
            if self._launch_if_dead(launches):
                launches += 1
            found, kept = postmaster(self._home.data), self._home.access()
            if found and kept and found.ready and lives(found, self._home.data):
                return Access(port=found.port, password=kept.password)
            if time.monotonic() > deadline:
                raise self._failure(f"is not ready after {self._patience_s:.0f} s")
            time.sleep(POLL_S)

    def _launch_if_dead(self, launches: int) -> bool:
        lock = FileLock(self._home.server)
        try:
            if not lock.try_exclusive():
                return False
            if launches and (launches >= PORT_ATTEMPTS or not self._lost_port()):
                raise self._failure("did not start")
            launch(self._home, lock)
            return True
        finally:
            lock.close()

    def _lost_port(self) -> bool:
        """Whether the last launch failed because another program took the port in between."""
        return any("Address already in use" in line for line in self._home.complaints())

    def _failure(self, what: str) -> ConfigError:
        said = " | ".join(self._home.complaints()) or "nothing"
        return ConfigError(
            WHERE,
            f"Postgres in {self._home.data} {what}; it said: {said}",
            "mend what it names and start again",
        )


def launch(home: Home, lock: FileLock) -> None:
    """Start the server of ``home``, after making its cluster if there is none.

    The caller holds ``lock``, the server's own. Raises ``ConfigError``.
    """
    who = server_user.choose(home.data)
    server_user.admit(who, home.root, home.data)
    programs, major = binaries.usable(who, home.programs)
    cluster = Cluster(home=home, identity=who, binaries=programs, major=major)
    if not home.data.exists():
        home.require_space(SPACE_TO_MAKE)
        # Kept before the cluster exists, so that there is never a cluster whose password nobody knows.
        home.keep(Access(port=_free_port(None), password=new_password()))
        cluster.make(lock)
    cluster.check()
    home.require_space(SPACE_TO_START)
    kept = home.require_access()
    access = attrs.evolve(kept, port=_free_port(kept.port))
    if access != kept:
        home.keep(access)
    cluster.launch(access.port, lock)


def _free_port(wanted: int | None) -> int:
    """``wanted`` if it is free on 127.0.0.1, else any that is."""
    for port in (wanted or 0, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                refusal = error
            else:
                return int(probe.getsockname()[1])
    raise ConfigError(
        "127.0.0.1", f"no TCP port can be bound ({refusal.strerror})", "bring the loopback interface up"
    )


def _open(data_dir: Path) -> DatabaseServer:
    return EmbeddedServer(data_dir)


provider = DatabaseProvider(name="embedded", open=_open)
