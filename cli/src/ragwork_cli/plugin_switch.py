"""``ragwork plugins enable`` and ``disable``: edit ``ragwork.toml``, and say what is different afterwards."""

import asyncio
from pathlib import Path
from typing import Any, Final

from ragwork_hooks.commands import Option
from ragwork_hooks.errors import ConfigError
from ragwork_kernel.base import discovery
from ragwork_kernel.base.layers import CONFIG_FILE, SettingsLayers, nearest
from ragwork_kernel.boot import bindings
from ragwork_kernel.boot import plugin_set as assemblies
from ragwork_kernel.boot.plugin_set import KERNEL_SECTION

from ragwork_cli import toml_lists
from ragwork_cli.console import TerminalConsole

NAME: Final = Option(name="name", help="a plugin", positional=True, required=True)
_LIST, _ADD, _REMOVE = "plugins", "plugins_add", "plugins_remove"
_NAMES: Final = {_LIST: "RAGWORK_PLUGINS", _ADD: "RAGWORK_PLUGINS_ADD", _REMOVE: "RAGWORK_PLUGINS_REMOVE"}


async def enable(options: dict[str, Any], _data_dir: Path, console: TerminalConsole) -> int:
    """Enable the plugin; 0 also when it is already."""
    return await _switch(str(options["name"]), True, console)


async def disable(options: dict[str, Any], _data_dir: Path, console: TerminalConsole) -> int:
    """Disable the plugin; 0 also when it is already."""
    return await _switch(str(options["name"]), False, console)


async def _switch(name: str, wanted: bool, console: TerminalConsole) -> int:
    word = "enabled" if wanted else "disabled"
    path = assemblies.config_folder() / CONFIG_FILE
    before = _enabled(path.parent)
    known = sorted({*discovery.installed(discovery.PLUGINS), *(() if wanted else before)})
    if name not in known:
        raise ConfigError(f"plugin {name!r}", "is not installed", nearest(name, known))
    if (name in before) == wanted:
        console.result({"name": name, "changed": False}, f"{name} is {word} already")
        return 0
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    key, changed = _edited(SettingsLayers.read(path.parent), text, name, wanted)
    path.write_text(changed, encoding="utf-8")
    if (name in _enabled(path.parent)) != wanted:
        path.write_text(text, encoding="utf-8")
        raise ConfigError(
            _NAMES[key], f"is set outside {path}, and wins over it", "change it there, or unset it"
        )
    said = f"{name} is {word}: {key} in {path.absolute()}. Restart what runs"
    faults = await asyncio.to_thread(bindings.faults, assemblies.survey())
    for fault in faults:
        console.say(f"next: {fault}")
    console.result({"name": name, "changed": True, "key": key, "path": str(path.absolute())}, said)
    return 0


def _enabled(folder: Path) -> tuple[str, ...]:
    return discovery.enabled_names(assemblies.survey(folder).kernel)


def _edited(layers: SettingsLayers, text: str, name: str, wanted: bool) -> tuple[str, str]:
    """The key that is changed, and the text with it changed: what was added or taken away before is undone first."""
    table = layers.toml.values.get(KERNEL_SECTION, {})
    undone = _REMOVE if wanted else _ADD
    if name in table.get(undone, ()):
        return undone, toml_lists.removed(text, KERNEL_SECTION, undone, name)
    if _LIST in table:
        edit = toml_lists.added if wanted else toml_lists.removed
        return _LIST, edit(text, KERNEL_SECTION, _LIST, name)
    key = _ADD if wanted else _REMOVE
    return key, toml_lists.added(text, KERNEL_SECTION, key, name)
