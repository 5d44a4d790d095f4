"""One Postgres cluster on disk: making it, starting it, asking after it, stopping it."""

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

import attrs
from ragwork_hooks.errors import ConfigError

from ragwork_embedded.binaries import Binaries
from ragwork_embedded.data_directory import WHERE, Home
from ragwork_embedded.locks import POLL_S, FileLock, is_free
from ragwork_embedded.server_user import ServerUser

ADMIN = "postgres"
DATABASE = "ragwork"
LOCALE = "C.UTF-8"

#: Set at every start rather than in the cluster, so that a new release also tunes an old cluster.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # Relative to the cluster: a private directory, whose length the server does not mind.
    "unix_socket_directories": ".",
    "max_connections": "400",
    "shared_buffers": "128MB",
    "effective_cache_size": "512MB",
    "maintenance_work_mem": "64MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "minimal",
    # What was just ingested is planned for within seconds, not within a minute: without statistics a list of documents
    # takes ten times as long.
    "autovacuum_naptime": "5s",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "autovacuum": "on",
    "jit": "off",
    # Queries are short and the cores are the application's too: no parallel plans, no I/O workers.
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "io_method": "sync",
    "random_page_cost": "1.1",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgres-%Y%m%dT%H%M%S.log",
    "log_file_mode": "0600",
    "log_rotation_age": "0",
    "log_rotation_size": "10MB",
    "log_checkpoints": "off",
    # Statements carry documents and questions, which don't belong in a log.
    "log_min_error_statement": "panic",
}


@attrs.frozen(kw_only=True)
class Postmaster:
    """What the cluster's pid file says. It may be stale."""

    pid: int
    port: int
    ready: bool


@attrs.frozen(kw_only=True)
class Cluster:
    """The cluster of ``home``, handled with ``binaries`` as ``identity``."""

    home: Home
    identity: ServerUser
    binaries: Binaries
    major: int

    def make(self, lock: FileLock) -> None:
        """Create the cluster and its database, complete and on disk, or not at all.

        The administrator gets the password that ``home`` keeps. ``lock`` is inherited by what works on
        the files. Raises ``ConfigError``.
        """
        fresh = self.home.unfinished
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        secret = self.home.root / "postgres.password"
        secret.unlink(missing_ok=True)
        try:
            descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(self.home.require_access().password)
            self._hand_over(secret, fresh)
            self._initdb(fresh, secret, lock)
        finally:
            secret.unlink(missing_ok=True)
        self._create_database(fresh, lock)
        self._must([self.binaries.path("initdb"), "-D", str(fresh), "--sync-only"], lock)
        fresh.rename(self.home.data)
        self.home.sync()

    def check(self) -> None:
        """Raises ``ConfigError`` when the cluster can't be this server's."""
        try:
            version = (self.home.data / "PG_VERSION").read_text().strip()
        except OSError as error:
            raise ConfigError(
                WHERE,
                f"{self.home.data} is no Postgres cluster ({error.strerror})",
                "restore it from a backup",
            ) from None
        if version != str(self.major):
            raise ConfigError(
                WHERE,
                f"{self.home.data} was made by Postgres {version}, this is Postgres {self.major}",
                f"dump it with Postgres {version} and restore, or name another directory",
            )

    def launch(self, port: int, lock: FileLock) -> None:
        """Start the server in the background; ``lock`` goes with it.

        The caller holds ``lock``, so no process of the cluster lives and its pid and socket files are stale.
        """
        for stale in (self.home.data / "postmaster.pid", *self.home.data.glob(".s.PGSQL.*")):
            stale.unlink(missing_ok=True)
        self.home.prune_logs()
        settings = {**SETTINGS, "port": str(port)}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [self.binaries.path("postgres"), "-D", str(self.home.data), *arguments]
        self.identity.detach(command, output=self.home.start_log, lock=lock)

    def _initdb(self, target: Path, secret: Path, lock: FileLock) -> None:
        command = [self.binaries.path("initdb"), "-D", str(target), "-U", ADMIN, "-E", "UTF8"]
        command += ["--locale-provider=builtin", f"--builtin-locale={LOCALE}", "--auth=scram-sha-256"]
        command += [f"--pwfile={secret}", "--no-sync", "--no-instructions"]
        done = self.identity.run([*command, f"--locale={LOCALE}"], lock=lock)
        if done.returncode and "invalid locale" in done.stdout:
            # The builtin provider always knows C.UTF-8; a system's C library may not.
            self._must([*command, "--locale=C"], lock)
        elif done.returncode:
            raise _failed(command, done.stdout)

    def _create_database(self, target: Path, lock: FileLock) -> None:
        command = [self.binaries.path("postgres"), "--single", "-D", str(target), "-c", "fsync=off", ADMIN]
        output = self._must(command, lock, stdin=f"CREATE DATABASE {DATABASE}\n")
        if "ERROR:" in output:
            raise _failed(command, output)

    def _must(self, command: list[str], lock: FileLock, stdin: str = "") -> str:
        done = self.identity.run(command, stdin=stdin, lock=lock)
        if done.returncode:
            raise _failed(command, done.stdout)
        return done.stdout

    def _hand_over(self, *paths: Path) -> None:
        if self.identity.uid is not None and self.identity.gid is not None:
            for path in paths:
                os.chown(path, self.identity.uid, self.identity.gid)


def postmaster(data: Path) -> Postmaster | None:
    """The pid file of the cluster in ``data``; ``None`` when there is none or it is half written."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        return Postmaster(pid=int(lines[0]), port=int(lines[3]), ready=lines[7].strip() == "ready")
    except (OSError, ValueError, IndexError):
        return None


def lives(found: Postmaster, data: Path) -> bool:
    """Whether the pid file's process runs and works in ``data``: a pid may have been given away."""
    try:
        os.kill(found.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    place = Path(f"/proc/{found.pid}/cwd")
    try:
        return place.samefile(data)
    except FileNotFoundError:
        # Gone since, or a system without /proc, where the pid has to do.
        return not Path("/proc/self").exists()
    except PermissionError:
        return True


def halt(home: Home, patience_s: float = 30.0) -> None:
    """Stop the server of ``home`` and return when its last process has ended.

    Fast shutdown first (a checkpoint, nothing to recover), then immediate, which the next start recovers
    from, then kill, each with ``patience_s`` seconds. Raises ``ConfigError`` when none of them helps.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if _ended(home, number, patience_s):
            return
    raise ConfigError(WHERE, f"Postgres in {home.data} does not stop", "end its processes by hand")


def _ended(home: Home, number: signal.Signals, patience_s: float) -> bool:
    """Send ``number`` once, as soon as the server has written its pid; whether it ended in time."""
    deadline = time.monotonic() + patience_s
    sent = False
    while not is_free(home.server):
        found = None if sent else postmaster(home.data)
        if found is not None and lives(found, home.data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(found.pid, number)
            sent = True
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _failed(command: list[str], output: str) -> ConfigError:
    said = " | ".join(output.strip().splitlines()[-4:])
    return ConfigError(WHERE, f"{Path(command[0]).name} failed: {said}", "mend what it names and start again")
