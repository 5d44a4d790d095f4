"""Which provider each setting and each stored configuration names, and whether somebody offers it.

What boots works: a name that nobody offers, or whose provider lacks a setting, is told before anything is
served. Nothing here does I/O but the import of the providers that are named.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import attrs
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.providers import Binding, Provider, StoredBindings
from ragwork_hooks.settings import settings_of

from ragwork_kernel.base import discovery
from ragwork_kernel.base.layers import nearest
from ragwork_kernel.boot.plugin_set import LoadedPlugin, PluginSet

#: The value that binds nothing, of a setting that binds nothing by default.
NONE = "none"
Offered = Collection[tuple[str, str]]


@attrs.frozen(kw_only=True)
class Named:
    """A provider that a setting of ``plugin`` names; ``where`` is the place of the setting."""

    kind: str
    name: str
    plugin: str
    where: str


def of_settings(assembly: PluginSet) -> list[Named]:
    """Every binding of the settings of plugins that can start, defaults included."""
    found: list[Named] = []
    for loaded in _startable(assembly):
        for section in assembly.sections(loaded.name):
            found += _of_section(assembly, loaded.name, section)
    return found


def _of_section(assembly: PluginSet, plugin: str, section: str) -> Iterator[Named]:
    settings, config = assembly.configuration.classes[section], assembly.configuration.lenient(section)
    for field, info in settings_of(settings).items():
        value = getattr(config, field)
        if info.binds is None or value is None:
            continue
        where = assembly.configuration.place(section, field)
        unbound = getattr(attrs.fields(settings), field).default
        for name in (value,) if isinstance(value, str) else value:
            if name != NONE or unbound != NONE:
                yield Named(kind=info.binds.name, name=name, plugin=plugin, where=where)


def _startable(assembly: PluginSet) -> Iterator[LoadedPlugin]:
    """Plugins whose needs are met. Of the others nothing is used, and the boot says why."""
    provided: set[type] = set()
    for loaded in assembly.plugins:
        if provided.issuperset(loaded.info.requires):
            provided.update(loaded.info.provides)
            yield loaded


@attrs.frozen
class Offer:
    """Where a provider comes from: ``entry`` of ``plugin``, with the settings of ``section``."""

    plugin: str
    entry: str
    section: str


def offers(assembly: PluginSet) -> dict[tuple[str, str], Offer]:
    """(kind, name) of the providers that enabled plugins bring, once more for each of their named tables."""
    owners = {loaded.distribution: loaded.name for loaded in assembly.plugins}
    return {
        (kind, entry.name + section.removeprefix(plugin)): Offer(plugin, entry.name, section)
        for kind in assembly.kinds
        for entry in discovery.installed(f"ragwork.{kind}").values()
        if (plugin := owners.get(entry.distribution)) is not None
        for section in dict.fromkeys((plugin, *assembly.sections(plugin)))
    }


def faults(assembly: PluginSet) -> list[ConfigError]:
    """Settings that name a provider which is not there, can't be loaded or is not ready. Imports what is named."""
    offered = offers(assembly)
    errors = []
    for named in of_settings(assembly):
        offer = offered.get((named.kind, named.name))
        if named.kind not in assembly.kinds:
            what = f"binds providers of kind {named.kind!r}, which no enabled plugin declares"
            errors.append(ConfigError(f"plugin {named.plugin!r}", what, "list the kind in PluginInfo.kinds"))
            continue
        if offer is None:
            errors.append(missing(named.where, named.kind, named.name, offered))
            continue
        try:
            reason = unready(assembly, named.kind, named.name, offer)
        except ConfigError as error:
            errors.append(ConfigError(named.where, f"{error.where} {error.message}", error.fix))
            continue
        if reason is not None:
            fix = "set what it needs, or name another provider"
            what = f"names {named.kind} provider {named.name!r}, which {reason}"
            errors.append(ConfigError(named.where, what, fix))
    return errors


def inactive(assembly: PluginSet, offered: Offered, reasons: Mapping[str, str]) -> Iterator[ConfigError]:
    """Settings of active plugins that name a provider of a plugin which could not start."""
    owners = offers(assembly)
    for named in of_settings(assembly):
        offer = owners.get((named.kind, named.name))
        owner = "" if offer is None else offer.plugin
        if (named.kind, named.name) not in offered and owner in reasons and named.plugin not in reasons:
            what = f"names {named.kind} provider {named.name!r}, whose plugin {owner} is inactive"
            yield ConfigError(named.where, f"{what}: {reasons[owner]}", "mend that, or name another provider")


async def stored(sources: Iterable[StoredBindings], offered: Offered) -> list[ConfigError]:
    """What the database names and nobody offers."""
    errors = []
    for source in sources:
        bound: Sequence[Binding] = await source.read()
        for binding in bound:
            if (binding.kind, binding.name) not in offered:
                error = missing(binding.where, binding.kind, binding.name, offered)
                enable = _enable(binding.kind, binding.name)
                fix = enable or "install its plugin again, and bind to another provider before it is removed"
                errors.append(ConfigError(error.where, error.message, fix))
    return errors


def provider_of(kind: str, name: str) -> Provider[object]:
    """Import one. Raises ``ConfigError`` when that fails, or what is found is no ``Provider``."""
    loaded = discovery.load(f"ragwork.{kind}", name)
    if not isinstance(loaded, Provider):
        raise ConfigError(f"ragwork.{kind} {name!r}", f"is {loaded!r}", "name a Provider in the entry point")
    return loaded


def missing(where: str, kind: str, name: str, offered: Offered) -> ConfigError:
    """That nobody offers it, what there is, and which of both was meant."""
    known = sorted(other for of_kind, other in offered if of_kind == kind)
    there = ", ".join(known) or "none"
    return ConfigError(
        where,
        f"names {kind} provider {name!r}, which no enabled plugin offers (there are: {there})",
        _enable(kind, name) or nearest(name, known),
    )


def _enable(kind: str, name: str) -> str | None:
    """How to have an installed provider of a disabled plugin."""
    entry = discovery.installed(f"ragwork.{kind}").get(name)
    for plugin in discovery.installed(discovery.PLUGINS).values():
        if entry is not None and plugin.distribution == entry.distribution:
            return f"enable it with `ragwork plugins enable {plugin.name}`, or name one that is there"
    return None


def unready(assembly: PluginSet, kind: str, name: str, offer: Offer) -> str | None:
    """What the provider lacks to work at all. Imports it."""
    provider = provider_of(kind, offer.entry)
    if provider.ready is None:
        return None
    has_settings = offer.section in assembly.configuration.classes
    try:
        return provider.ready(assembly.configuration.lenient(offer.section) if has_settings else None)
    except Exception as error:
        where = f"{kind} provider {name!r}"
        raise ConfigError(where, f"could not judge its settings: {error!r}", "repair the plugin") from error
