"""The kinds of providers that bindings may name: the contract's own, and what enabled plugins declare."""

from collections.abc import Iterable
from typing import Any

from ragwork_hooks.errors import ConfigError
from ragwork_hooks.plugin import PluginInfo
from ragwork_hooks.provider_kinds import KINDS, ProviderKind


def declared(infos: Iterable[PluginInfo]) -> dict[str, ProviderKind[Any]]:
    """By name. Raises ``ConfigError`` for a name that stands for two of them."""
    found = {kind.name: kind for kind in KINDS}
    owners = dict.fromkeys(found, "ragwork_hooks")
    for info in infos:
        for kind in info.kinds:
            if found.setdefault(kind.name, kind) != kind:
                raise ConfigError(
                    f"provider kind {kind.name!r}",
                    f"declared by both {owners[kind.name]} and plugin {info.name}, and not the same",
                    "disable one of the two plugins, or rename its kind",
                )
            owners.setdefault(kind.name, f"plugin {info.name}")
    return found
