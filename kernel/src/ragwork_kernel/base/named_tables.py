"""Settings that there may be several of: ``[<plugin>.NAME]``, a section of its own beside the plugin's.

Which names there are is read from ``ragwork.toml``; each value may come from any layer.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import attrs
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.plugin import PluginInfo
from ragwork_hooks.settings import SETTING, settings_of

from ragwork_kernel.base.layers import SettingsLayers

_PART: Final = "<NAME>"
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")


def apart(
    layers: SettingsLayers, infos: Iterable[PluginInfo]
) -> tuple[SettingsLayers, dict[str, type], list[ConfigError]]:
    """``layers`` with every named table as a section (``<plugin>.NAME``), the settings class of each section, and names
    that can't be one.
    """
    sections = dict(layers.toml.values)
    classes: dict[str, type] = {}
    faults: list[ConfigError] = []
    for info in infos:
        for name, table in _tables(info, sections):
            section = f"{info.name}.{name}"
            sections[info.name] = {key: value for key, value in sections[info.name].items() if key != name}
            if _NAME.fullmatch(name) is None or info.named_config is None:
                where = f"{layers.toml.at(section)} [{section}]"
                fix = "name it with up to 32 lower case letters, digits and underscores, a letter first"
                faults.append(ConfigError(where, f"{name!r} can't name a table of settings", fix))
                continue
            sections[section] = table
            classes[section] = _class_of(info.named_config, name)
    return layers.over(sections), classes, faults


def _tables(info: PluginInfo, sections: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The tables of a plugin's section that are no setting of its own."""
    own = () if info.config is None else settings_of(info.config)
    if info.named_config is None:
        return
    for name, table in sections.get(info.name, {}).items():
        if isinstance(table, dict) and name not in own:
            yield name, table


def _class_of(config: type, name: str) -> type:
    """``config`` with ``name`` in the place of ``<NAME>``."""
    infos = settings_of(config)
    named = {
        field.name: attrs.field(
            default=field.default,
            validator=field.validator,
            repr=field.repr,
            metadata={SETTING: attrs.evolve(infos[field.name], env=_env(infos[field.name].env, name))},
        )
        for field in attrs.fields(config)
    }
    return attrs.make_class(config.__name__, named, bases=(config,), frozen=True, slots=True, kw_only=True)


def _env(env: str, name: str) -> str:
    return env.replace(_PART, name.upper())
