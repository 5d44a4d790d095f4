"""Looks at a plugin from inside a fresh interpreter: what importing it brings along, and what it says of itself.

``python -m ragwork_testkit.inspection SOURCES PLUGIN KIND=TARGET…`` prints one JSON object. ``SOURCES`` is a folder
to import from, ``-`` for what is installed; a target is ``module:attribute``. This module imports what a plugin
may import anyway and nothing else, or the answer would be about itself.
"""

import importlib
import json
import sys
from collections.abc import Mapping, Sequence

import attrs
from ragwork_hooks.infrastructure import BlobProvider, DatabaseProvider, StateProvider, TracingProvider
from ragwork_hooks.plugin import HOOKS_API, PluginInfo
from ragwork_hooks.providers import Provider
from ragwork_hooks.settings import settings_of


def loaded(target: str) -> object:
    """What ``module:attribute`` names."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def plugin_facts(target: str) -> Mapping[str, object]:
    """The plugin's own account; ``brought`` are the top-level modules that its import added."""
    before = set(sys.modules)
    info = loaded(target).ragwork_info()  # type: ignore[attr-defined]  # a plugin is known by its methods
    brought = {name.partition(".")[0] for name in set(sys.modules) - before}
    if not isinstance(info, PluginInfo):
        raise TypeError(f"ragwork_info returned {info!r}, not a PluginInfo")
    return {
        "brought": sorted(brought - set(sys.stdlib_module_names)),
        "name": info.name,
        "summary": info.summary,
        "hooks_api": info.hooks_api,
        "hooks_api_here": HOOKS_API,
        "kinds": [kind.name for kind in info.kinds],
        "schema": info.schema,
        "migrations": None if info.migrations is None else str(info.migrations),
        "settings": [] if info.config is None else [s.env for s in settings_of(info.config).values()],
    }


def provider_facts(target: str) -> Mapping[str, object]:
    """A provider's name and the options that a corpus may set for it."""
    found = loaded(target)
    if isinstance(found, BlobProvider | DatabaseProvider | StateProvider | TracingProvider):
        return {"name": found.name, "options": []}
    if not isinstance(found, Provider):
        raise TypeError(f"{target} is {found!r}, not a Provider")
    return {"name": found.name, "options": [field.name for field in attrs.fields(found.options)]}


def main(arguments: Sequence[str]) -> None:
    sources, plugin, *providers = arguments
    if sources != "-":
        sys.path.insert(0, sources)
    facts: dict[str, object] = {"plugin": plugin_facts(plugin), "providers": {}}
    facts["providers"] = {target: provider_facts(target) for target in providers}
    sys.stdout.write(json.dumps(facts))


if __name__ == "__main__":
    main(sys.argv[1:])
