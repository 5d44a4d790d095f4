"""``ragwork.lock``: which plugins may run here, each by distribution, version and the content of its files.

Everything is read from the metadata of what is installed; no plugin is imported. Bytecode and what installers
write for themselves are not part of the content.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

import attrs
from ragwork_hooks.errors import ConfigError

from ragwork_kernel.base import discovery

FORMAT = 1
#: Files of a ``.dist-info`` that differ between two installations of one wheel.
_INSTALLERS_OWN = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"})


@attrs.frozen(kw_only=True)
class LockEntry:
    """One plugin as it was locked, or as it is installed."""

    distribution: str
    version: str
    sha256: str


@attrs.frozen(kw_only=True)
class PluginLock:
    """What a lock file lists, by plugin name."""

    path: Path
    entries: Mapping[str, LockEntry]

    @classmethod
    def read(cls, path: Path) -> "PluginLock":
        """Raises ``ConfigError`` when the file is missing or is no lock file."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']!r} is not {FORMAT}")
            entries = {name: LockEntry(**fields) for name, fields in document["plugins"].items()}
        except OSError as error:
            raise ConfigError(
                str(path), str(error.strerror), "write it with `ragwork plugins lock`"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                str(path), f"is no lock file: {error}", "write it with `ragwork plugins lock`"
            ) from None
        return cls(path=path, entries=entries)

    def require(self, name: str, found: Mapping[str, discovery.InstalledEntryPoint]) -> None:
        """Raise ``ConfigError`` unless the installed plugin ``name`` is listed and is what was listed."""
        if name not in self.entries:
            raise ConfigError(
                f"plugin {name!r}",
                f"is not listed in {self.path}",
                "disable it, or review it and run `ragwork plugins lock`",
            )
        locked, here = self.entries[name], measured(name, found)
        for field in ("distribution", "version", "sha256"):
            was, now = getattr(locked, field), getattr(here, field)
            if was != now:
                raise ConfigError(
                    f"plugin {name!r}",
                    f"{field} is {now}, but {self.path} says {was}",
                    f"install {locked.distribution} {locked.version} as it was locked, "
                    "or review the change and run `ragwork plugins lock`",
                )


def measured(name: str, found: Mapping[str, discovery.InstalledEntryPoint]) -> LockEntry:
    """The installed plugin ``name`` as it is. Raises ``ConfigError`` when it is not there, or a file of it is not."""
    if name not in found:
        raise ConfigError(f"plugin {name!r}", "is not installed", "install it or disable it")
    distribution = metadata.distribution(found[name].distribution)
    digest = hashlib.sha256()
    for label, path in sorted(_content(distribution)):
        try:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            where = f"plugin {name!r}"
            raise ConfigError(where, f"{path}: {error.strerror}", "install it again") from None
        digest.update(f"{label}\0{content}\n".encode())
    return LockEntry(distribution=distribution.name, version=distribution.version, sha256=digest.hexdigest())


def _content(distribution: metadata.Distribution) -> Iterator[tuple[str, Path]]:
    """Name and place of every file that counts. An editable installation's code is where its .pth points."""
    for listed in distribution.files or ():
        path = Path(str(distribution.locate_file(listed)))
        if path.suffix == ".pyc" or listed.name in _INSTALLERS_OWN:
            continue
        yield listed.as_posix(), path
        if path.suffix == ".pth":
            for folder in map(Path, path.read_text(encoding="utf-8").splitlines()):
                inside = (p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
                yield from ((p.relative_to(folder).as_posix(), p) for p in inside)
