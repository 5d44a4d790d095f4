"""Lock file of the plugins: what belongs into it, and writing it. The kernel reads it before it imports a plugin."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import attrs
from ragwork_kernel.base import discovery
from ragwork_kernel.base.layers import SettingsLayers
from ragwork_kernel.boot.plugin_lock import FORMAT, PluginLock, measured
from ragwork_kernel.boot.plugin_set import config_folder, kernel_settings

#: Its name where ``RAGWORK_PLUGIN_LOCK`` gives none.
NAME: Final = "ragwork.lock"


def to_lock(
    folder: Path | None = None, environ: Mapping[str, str] | None = None
) -> tuple[Path, tuple[str, ...]]:
    """Where the lock file is or belongs, and the plugins that this configuration would import. Imports none."""
    place = folder or config_folder(environ)
    layers = SettingsLayers.read(place, environ)
    kernel = kernel_settings(layers)
    found = discovery.installed(discovery.PLUGINS)
    sections = [section for section in layers.toml.values if section in found]
    return place / (kernel.plugin_lock or NAME), (*discovery.enabled_names(kernel), *sections)


def of_installed(path: Path, names: Iterable[str]) -> PluginLock:
    """The installed plugins called ``names`` as they are. Raises ``ConfigError`` for one that is not there."""
    found = discovery.installed(discovery.PLUGINS)
    return PluginLock(path=path, entries={name: measured(name, found) for name in sorted(set(names))})


def write(lock: PluginLock) -> None:
    """Write ``lock`` to its path."""
    document = {
        "format": FORMAT,
        "plugins": {name: attrs.asdict(entry) for name, entry in lock.entries.items()},
    }
    lock.path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
