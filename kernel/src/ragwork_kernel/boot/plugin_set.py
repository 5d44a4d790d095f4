"""Discover and check: which plugins are enabled, whether they can be imported, and their settings.

No database and no contribution is needed, so ``plugins``, ``config`` and ``doctor`` work on a broken set.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import pluggy
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.plugin import HOOKS_API, PROJECT, PluginInfo, PluginSpec, RegisterCodecs
from ragwork_hooks.provider_kinds import ProviderKind

from ragwork_kernel.base import discovery, kinds, named_tables, secrets
from ragwork_kernel.base.config import KernelConfig, Settings, raise_all
from ragwork_kernel.base.layers import SettingsLayers, nearest
from ragwork_kernel.boot.plugin_lock import PluginLock
from ragwork_kernel.data import migrations

KERNEL_SECTION = "kernel"
_FORBIDDEN = ("tryfirst", "trylast", "hookwrapper", "wrapper", "optionalhook")


@attrs.frozen(kw_only=True)
class LoadedPlugin:
    """An enabled plugin whose import worked."""

    name: str
    plugin: object
    info: PluginInfo
    distribution: str
    version: str


@attrs.frozen(kw_only=True)
class BrokenPlugin:
    """An enabled plugin whose import or metadata failed."""

    name: str
    error: ConfigError


@attrs.frozen(kw_only=True)
class PluginSet:
    """What the operator enabled, in boot order. ``broken`` must be empty to serve, and ``faults`` of the settings."""

    kernel: KernelConfig
    layers: SettingsLayers
    configuration: Settings
    plugins: tuple[LoadedPlugin, ...]
    broken: tuple[BrokenPlugin, ...]
    faults: tuple[ConfigError, ...]
    #: The kinds of providers that the enabled plugins know, by name.
    kinds: Mapping[str, ProviderKind[Any]]
    manager: pluggy.PluginManager

    def call(self, loaded: LoadedPlugin, hook: str, **arguments: object) -> Any:
        """One plugin's answer to a hook, ``None`` when it does not implement it. Boot time only."""
        others = [other.plugin for other in self.plugins if other is not loaded]
        answers = self.manager.subset_hook_caller(hook, remove_plugins=others)(**arguments)
        return answers[0] if answers else None

    def sections(self, plugin: str) -> list[str]:
        """The plugin's section of settings, and those of its named tables."""
        return [name for name in self.configuration.classes if name.partition(".")[0] == plugin]

    def sources(self) -> list[migrations.Source]:
        """Where migrations come from, kernel first."""
        return [migrations.KERNEL, *(_source(p.info) for p in self.plugins if p.info.migrations)]

    def secrets(self) -> tuple[str, ...]:
        """Names of the key material of all plugins."""
        return tuple(name for loaded in self.plugins for name in loaded.info.secrets)

    def codecs(self) -> tuple[RegisterCodecs, ...]:
        """What each connection to the database is given to, in boot order."""
        return tuple(register for loaded in self.plugins for register in loaded.info.codecs)

    def gaps(self) -> list[ConfigError]:
        """Key material that is too short, and what the production profile demands and nobody set."""
        found = secrets.faults(self.secrets(), self.layers, self.kernel.production)
        if not self.kernel.production:
            return found
        if self.kernel.database_url is None:
            what = "is unset, and the embedded server is not for production"
            found.insert(0, ConfigError("DATABASE_URL", what, "give the DSN of your Postgres"))
        for loaded in self.plugins:
            found += [
                secrets.unset(env, f"plugin {loaded.name}")
                for section in self.sections(loaded.name)
                for env in self.configuration.missing_in_production(section)
            ]
        return found

    def require_whole(self) -> None:
        """Raise what is broken: a gate that can't be loaded must not be skipped."""
        raise_all([*self.faults, *(broken.error for broken in self.broken)])


def read(folder: Path | None = None, environ: Mapping[str, str] | None = None) -> PluginSet:
    """The assembly that ``folder``'s files (default: the working directory) and the environment describe.

    Raises ``ConfigError`` with everything that is wrong with the settings, all at once.
    """
    assembly = survey(folder, environ)
    raise_all(assembly.faults)
    return assembly


def survey(folder: Path | None = None, environ: Mapping[str, str] | None = None) -> PluginSet:
    """The same for commands that inspect: what is wrong stands in ``faults``, and defaults in its place."""
    place = folder or config_folder(environ)
    layers = SettingsLayers.read(place, environ)
    kernel = kernel_settings(layers)
    faults: list[ConfigError] = [*_contradictions(kernel)]
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(PluginSpec)
    names = discovery.enabled_names(kernel)
    found = discovery.installed(discovery.PLUGINS)
    lock = PluginLock.read(place / kernel.plugin_lock) if kernel.plugin_lock else None
    loaded, broken = _load_all(manager, names, found, lock)
    classes: dict[str, type] = {KERNEL_SECTION: KernelConfig}
    classes |= {p.name: p.info.config for p in loaded if p.info.config is not None}
    # What can't be loaded says so itself; its section is no mistake.
    unknown = set(layers.toml.values) - set(classes) - {each.name for each in broken}
    disabled, unloadable = disabled_plugins(unknown & set(found), found, lock)
    classes |= {name: info.config for name, info in disabled.items() if info.config is not None}
    layers, named, misnamed = named_tables.apart(layers, (*(p.info for p in loaded), *disabled.values()))
    classes |= named
    faults += misnamed
    configuration = Settings(layers, classes)
    silent = {f"{layers.toml.at(name)} [{name}]" for name in {*(b.name for b in broken), *unloadable}}
    faults += [fault for fault in configuration.faults() if fault.where not in silent]
    faults += unloadable.values()
    try:
        ordered = plugin_order(loaded)
    except ConfigError as error:
        ordered = loaded
        faults.append(error)
    try:
        known_kinds = kinds.declared(each.info for each in loaded)
    except ConfigError as error:
        known_kinds = kinds.declared(())
        faults.append(error)
    return PluginSet(
        kernel=kernel,
        layers=layers,
        configuration=configuration,
        plugins=tuple(ordered),
        broken=tuple(broken),
        faults=tuple(faults),
        kinds=known_kinds,
        manager=manager,
    )


def config_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where ``ragwork.toml`` and ``.env`` are read from."""
    env = os.environ if environ is None else environ
    return Path(env.get("RAGWORK_CONFIG_DIR") or ".")


def kernel_settings(layers: SettingsLayers) -> KernelConfig:
    """The kernel's settings, before it is known which other sections exist."""
    alone = Settings(layers.narrowed(KERNEL_SECTION), {KERNEL_SECTION: KernelConfig})
    config: KernelConfig = alone.lenient(KERNEL_SECTION)
    return config


def _contradictions(kernel: KernelConfig) -> Iterator[ConfigError]:
    """What is taken away must be there: else a typing error leaves a plugin enabled."""
    there = discovery.assembled() if kernel.plugins is None else kernel.plugins
    for name in kernel.plugins_remove:
        if name in kernel.plugins_add:
            yield ConfigError(
                "RAGWORK_PLUGINS_REMOVE", f"{name!r} is added, too", "take it out of one of the two"
            )
        elif name not in there:
            yield ConfigError(
                "RAGWORK_PLUGINS_REMOVE", f"{name!r} is not enabled", nearest(name, list(there))
            )


def _load_all(
    manager: pluggy.PluginManager,
    names: Sequence[str],
    found: Mapping[str, discovery.InstalledEntryPoint],
    lock: PluginLock | None,
) -> tuple[list[LoadedPlugin], list[BrokenPlugin]]:
    loaded: list[LoadedPlugin] = []
    broken: list[BrokenPlugin] = []
    for name in names:
        try:
            if lock is not None:
                lock.require(name, found)
            plugin = discovery.load(discovery.PLUGINS, name)
            manager.register(plugin, name)
            _refuse_forbidden_forms(manager, plugin, name)
            info = _info(plugin, name)
        except ConfigError as error:
            broken.append(BrokenPlugin(name=name, error=error))
            continue
        entry = found[name]
        loaded.append(
            LoadedPlugin(
                name=name,
                plugin=plugin,
                info=info,
                distribution=entry.distribution,
                version=entry.version,
            )
        )
    return loaded, broken


def _info(plugin: Any, name: str) -> PluginInfo:
    where = f"plugin {name!r}"
    try:
        info = plugin.ragwork_info()
    except Exception as error:
        raise ConfigError(where, f"ragwork_info failed: {error}", "repair the plugin") from error
    if not isinstance(info, PluginInfo):
        raise ConfigError(where, f"ragwork_info returned {info!r}", "return a PluginInfo")
    if info.name != name:
        raise ConfigError(
            where, f"calls itself {info.name!r}", "give the entry point and PluginInfo one name"
        )
    if info.hooks_api != HOOKS_API:
        raise ConfigError(
            where,
            f"is written for hooks API {info.hooks_api}, this kernel speaks {HOOKS_API}",
            "install a release of the plugin that matches",
        )
    return info


def _refuse_forbidden_forms(manager: pluggy.PluginManager, plugin: object, name: str) -> None:
    """Call-order options would let a plugin overrule a security decision."""
    for caller in manager.get_hookcallers(plugin) or ():
        for implementation in caller.get_hookimpls():
            if implementation.plugin is not plugin:
                continue
            used = [form for form in _FORBIDDEN if getattr(implementation, form)]
            if used:
                raise ConfigError(
                    f"plugin {name!r}", f"{caller.name} uses {', '.join(used)}", "use a plain @hookimpl"
                )


def disabled_plugins(
    names: Iterable[str], found: Mapping[str, discovery.InstalledEntryPoint], lock: PluginLock | None
) -> tuple[dict[str, PluginInfo], dict[str, ConfigError]]:
    """What installed but disabled plugins say of themselves, and why others can't be asked."""
    infos: dict[str, PluginInfo] = {}
    unloadable: dict[str, ConfigError] = {}
    for name in sorted(names):
        try:
            if lock is not None:
                lock.require(name, found)
            infos[name] = _info(discovery.load(discovery.PLUGINS, name), name)
        except ConfigError as error:
            unloadable[name] = error
    return infos, unloadable


def plugin_order(plugins: Sequence[LoadedPlugin]) -> list[LoadedPlugin]:
    """Providers of capabilities before their users, ``after`` respected, else the operator's order."""
    owners: dict[type, LoadedPlugin] = {}
    for plugin in plugins:
        for capability in plugin.info.provides:
            if capability in owners:
                raise ConfigError(
                    f"capability {capability.__name__}",
                    f"provided by both {owners[capability].name} and {plugin.name}",
                    "disable one of the two plugins",
                )
            owners[capability] = plugin
    by_name = {plugin.name: plugin for plugin in plugins}
    done: dict[str, LoadedPlugin] = {}
    visiting: list[str] = []

    def visit(plugin: LoadedPlugin) -> None:
        if plugin.name in done:
            return
        if plugin.name in visiting:
            ring = " → ".join([*visiting[visiting.index(plugin.name) :], plugin.name])
            raise ConfigError("plugins", f"need each other in a ring: {ring}", "disable one of them")
        visiting.append(plugin.name)
        needed = [owners[c] for c in (*plugin.info.requires, *plugin.info.optional) if c in owners]
        needed += [by_name[name] for name in plugin.info.after if name in by_name]
        for other in needed:
            if other is not plugin:
                visit(other)
        visiting.pop()
        done[plugin.name] = plugin

    for plugin in plugins:
        visit(plugin)
    return list(done.values())


def _source(info: PluginInfo) -> migrations.Source:
    if info.migrations is None or info.schema is None:
        raise ConfigError(
            f"plugin {info.name!r}", "has migrations but names no schema", "set PluginInfo.schema"
        )
    return migrations.Source(plugin=info.name, schema=info.schema, folder=info.migrations)
