"""Finding plugins and providers through stevedore, with its lenient defaults undone.

Metadata of everything installed is read without importing it; code is imported only for what the
operator enabled or a binding names. A load failure, a missing name and a duplicate are errors.
"""

import os
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any, Final

import attrs
from ragwork_hooks.errors import ConfigError
from stevedore.named import NamedExtensionManager

from ragwork_kernel.base.config import KernelConfig
from ragwork_kernel.base.layers import nearest

PLUGINS = "ragwork.plugins"
ASSEMBLY = "ragwork.assembly"
#: An import that takes longer hangs: plugins are light by contract, and the heaviest vendor SDK takes seconds.
IMPORT_LIMIT_S: Final = 30.0


@attrs.frozen(kw_only=True)
class InstalledEntryPoint:
    """An entry point of an installed distribution, not imported."""

    group: str
    name: str
    distribution: str
    version: str


def installed(group: str) -> dict[str, InstalledEntryPoint]:
    """Every entry point of ``group`` by name. Two of one name raise ``ConfigError`` naming both owners."""
    found: dict[str, InstalledEntryPoint] = {}
    for entry in _entries(_places()).get(group, ()):
        other = found.get(entry.name)
        if other is not None and other.distribution != entry.distribution:
            raise ConfigError(
                f"{group} {entry.name!r}",
                f"offered by both {other.distribution} and {entry.distribution}",
                "uninstall one of the two distributions",
            )
        found[entry.name] = entry
    return found


@lru_cache(maxsize=1)
def _entries(places: tuple[tuple[str, int], ...]) -> dict[str, list[InstalledEntryPoint]]:
    """What is installed in ``places`` by group. Reading it takes 25 ms; a start asks twenty times."""
    points = entry_points()
    ours = sorted(group for group in points.groups if group.startswith("ragwork."))
    owners: dict[Distribution | None, tuple[str, str]] = {}
    return {group: [_describe(point, owners) for point in points.select(group=group)] for group in ours}


def _places() -> tuple[tuple[str, int], ...]:
    """The folders of ``sys.path`` with their last change: installing and uninstalling changes one."""
    return tuple((path, os.stat(path).st_mtime_ns) for path in sys.path if os.path.exists(path))


def needed(group: str, name: str, missing: ConfigError) -> Any:
    """What ``load`` returns. Raises ``missing`` when nothing installed has the entry point."""
    if name not in installed(group):
        raise missing
    return load(group, name)


def load(group: str, name: str) -> Any:
    """Import and return what the entry point names. Raises ``ConfigError`` with the import's own reason, also
    when it is not over after ``IMPORT_LIMIT_S``.
    """
    done: Future[Any] = Future()

    def work() -> None:
        try:
            done.set_result(_load(group, name))
        except SystemExit as error:
            reason = ConfigError(
                f"{group} {name!r}",
                f"its import would end this process: {error!r}",
                "repair or uninstall it, or take it out of the enabled plugins",
            )
            done.set_exception(reason)
        except BaseException as error:
            done.set_exception(error)

    # A daemon: nothing can end an import, and one that hangs must not keep the process from ending.
    threading.Thread(target=work, name=f"import {group} {name}", daemon=True).start()
    try:
        return done.result(IMPORT_LIMIT_S)
    except TimeoutError:
        if done.done():
            raise
        raise ConfigError(
            f"{group} {name!r}",
            f"its import still runs after {IMPORT_LIMIT_S:g} s",
            "repair or uninstall it, or take it out of the enabled plugins",
        ) from None


def _load(group: str, name: str) -> Any:
    def failed(_manager: object, _point: EntryPoint, error: BaseException) -> None:
        raise ConfigError(
            f"{group} {name!r}",
            f"can't be imported: {type(error).__name__}: {error}",
            "repair or uninstall it, or take it out of the enabled plugins",
        ) from error

    def missing(_names: Iterable[str]) -> None:
        raise ConfigError(f"{group} {name!r}", "is not installed", nearest(name, list(installed(group))))

    manager: NamedExtensionManager[Any] = NamedExtensionManager(
        group, names=[name], on_load_failure_callback=failed, on_missing_entrypoints_callback=missing
    )
    return manager.extensions[0].plugin


def enabled_names(kernel: KernelConfig) -> tuple[str, ...]:
    """The operator's list, or what the installed assemblies enable; then what is added and taken away."""
    names = list(assembled() if kernel.plugins is None else kernel.plugins)
    names += kernel.plugins_add
    return tuple(name for name in dict.fromkeys(names) if name not in kernel.plugins_remove)


def assembled() -> tuple[str, ...]:
    """What the installed assemblies enable, in order."""
    return tuple(name for assembly in installed(ASSEMBLY) for name in load(ASSEMBLY, assembly))


def _describe(point: EntryPoint, owners: dict[Distribution | None, tuple[str, str]]) -> InstalledEntryPoint:
    """``owners`` has name and version of distributions met before: each reading parses all of its metadata."""
    dist = point.dist
    if dist not in owners:
        metadata = {"Name": "?", "Version": "?"} if dist is None else dist.metadata
        owners[dist] = metadata["Name"], metadata["Version"]
    distribution, version = owners[dist]
    return InstalledEntryPoint(group=point.group, name=point.name, distribution=distribution, version=version)
