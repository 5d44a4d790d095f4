"""What the server keeps in the data directory, and the checks that it can."""

import json
import os
import pwd
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

import attrs
from ragwork_hooks.errors import ConfigError

WHERE = "--data-dir"
MIB = 1024 * 1024


@attrs.frozen(kw_only=True)
class Access:
    """How to reach the server: its TCP port on 127.0.0.1 and the administrator's password."""

    port: int
    password: str = attrs.field(repr=False)


@attrs.frozen
class Home:
    """Names of files under ``root``, an absolute path. All but the cluster's belong to the caller."""

    root: Path

    @property
    def data(self) -> Path:
        """The Postgres cluster (PGDATA)."""
        return self.root / "postgres"

    @property
    def unfinished(self) -> Path:
        """A cluster being made; it becomes ``data`` by a rename once it is complete and on disk."""
        return self.root / "postgres.new"

    @property
    def programs(self) -> Path:
        """Copies of the programs, for an account that can't read the originals."""
        return self.root / "postgres.bin"

    @property
    def start_log(self) -> Path:
        """What Postgres printed before its log files were open."""
        return self.root / "postgres.start.log"

    @property
    def gate(self) -> Path:
        return self.root / "postgres.gate"

    @property
    def users(self) -> Path:
        return self.root / "postgres.users"

    @property
    def server(self) -> Path:
        return self.root / "postgres.lock"

    def prepare(self) -> None:
        """Make the directory (0700) if need be. Raises ``ConfigError`` when it is not ours to write."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError:
            raise ConfigError(WHERE, f"{self.root} is not a directory", "name a directory") from None
        except OSError as error:
            raise ConfigError(
                WHERE, f"{self.root} can't be made: {error.strerror}", "name a directory you may write"
            ) from None
        owner = self.root.stat().st_uid
        if owner != os.geteuid():
            raise ConfigError(
                WHERE,
                f"{self.root} belongs to {_name(owner)}, not to {_name(os.geteuid())}",
                f"run as {_name(owner)}, or name another directory",
            )
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise ConfigError(WHERE, f"{self.root} is not writable", f"chmod u+rwx {self.root}")

    def require_space(self, mebibytes: int) -> None:
        """Raises ``ConfigError`` when less is free: Postgres must not start what it can't write."""
        free = shutil.disk_usage(self.root).free // MIB
        if free < mebibytes:
            raise ConfigError(
                WHERE,
                f"the disk of {self.root} has {free} MiB left, {mebibytes} are needed",
                "free some space, or name a directory on another disk",
            )

    def access(self) -> Access | None:
        """The saved access, ``None`` before the first start."""
        try:
            kept = json.loads((self.root / "postgres.json").read_text())
            return Access(port=int(kept["port"]), password=str(kept["password"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise ConfigError(
                WHERE, f"{self.root / 'postgres.json'} can't be read ({error})", "restore it from a backup"
            ) from None

    def require_access(self) -> Access:
        """The saved access. Raises ``ConfigError`` when it is lost."""
        kept = self.access()
        if kept is None:
            raise ConfigError(
                WHERE, f"{self.root / 'postgres.json'} is missing: the password of {self.data}", "restore it"
            )
        return kept

    def keep(self, access: Access) -> None:
        """Save ``access``, readable by the owner only, whole or not at all, on disk on return."""
        fresh = self.root / "postgres.json.new"
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(attrs.asdict(access), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self.root / "postgres.json")
        self.sync()

    def sync(self) -> None:
        """Make renames in the directory survive a power cut."""
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def complaints(self, lines: int = 6) -> Sequence[str]:
        """The last lines that Postgres wrote since its last launch, oldest first."""
        if not self.start_log.exists():
            return ()
        launched = self.start_log.stat().st_mtime_ns
        logs = [path for path in self._logs() if path.stat().st_mtime_ns >= launched]
        text = "".join(path.read_text(errors="replace") for path in (self.start_log, *logs))
        return text.splitlines()[-lines:]

    def prune_logs(self, keep: int = 10) -> None:
        """Postgres starts a new file per size and start; older ones than the last ``keep`` go."""
        for path in self._logs()[:-keep]:
            path.unlink(missing_ok=True)

    def _logs(self) -> Sequence[Path]:
        return sorted((self.data / "log").glob("*.log"))


def new_password() -> str:
    return secrets.token_urlsafe(32)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
