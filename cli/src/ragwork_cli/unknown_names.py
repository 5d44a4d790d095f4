"""Names that look like settings and are none: typing errors that would otherwise do nothing, silently."""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Final

from ragwork_hooks.errors import ConfigError
from ragwork_hooks.plugin import PluginInfo
from ragwork_hooks.provider_kinds import KINDS
from ragwork_hooks.settings import settings_of
from ragwork_kernel.base import discovery
from ragwork_kernel.base.config import KernelConfig
from ragwork_kernel.base.layers import nearest
from ragwork_kernel.boot.plugin_lock import PluginLock
from ragwork_kernel.boot.plugin_set import PluginSet, disabled_plugins

#: Read outside the settings classes: by the command line, by docker-compose.yml, by the tracing exporter.
_OWN: Final = (
    "RAGWORK_CONFIG_DIR",
    "RAGWORK_DATA_DIR",
    "RAGWORK_VERSION",
    "RAGWORK_BIND",
    "RAGWORK_PORT",
    "RAGWORK_PROVE",
    "OTEL_<NAME>",
)
#: First words that other programs use, too: a name that begins so is only ours when it is nearly one of ours.
_COMMON: Final = frozenset(
    re.findall(
        r"\w+",
        "API APP AUDIO AUTH DATABASE DEBUG LOCAL LOG MAX OTEL PROVIDER REDIS REQUEST RETRY RUN SERVE SERVICE STREAM",
    )
)
#: What a `.env` file may hold for others.
_FOREIGN: Final = re.compile(
    r"(COMPOSE|DOCKER|POSTGRES|PG|LC|PYTHON|UV|PIP)_?[A-Z]+.*|TZ|LANG|PATH|HOME|(https?|no|all)_proxy", re.I
)
_NEARLY: Final = 0.85
_PROVIDER: Final = "<PROVIDER>"


def strange(assembly: PluginSet) -> list[ConfigError]:
    """Remarks, not errors: names that do nothing in ``.env``, in the environment and in the folder of secret files,
    and settings of ``ragwork.toml`` that do nothing.
    """
    known = Known(assembly)
    layers = assembly.layers
    found: list[ConfigError] = []
    for name in layers.dotenv.lines:
        if not _FOREIGN.fullmatch(name):
            found += known.remark(name, f"{layers.dotenv.at(name)} {name}")
    for name in sorted(layers.environ):
        if name not in layers.dotenv.lines and known.looks_like_ours(name):
            found += known.remark(name, name)
    if layers.secrets_dir.is_dir():
        for path in sorted(layers.secrets_dir.iterdir()):
            if known.nearly(path.name.upper()):
                found += known.remark(path.name.upper(), str(path))
    return [*found, *_of_toml(assembly, known)]


def _of_toml(assembly: PluginSet, known: "Known") -> Iterator[ConfigError]:
    for plugin in assembly.plugins:
        declared = {} if plugin.info.config is None else settings_of(plugin.info.config)
        for field, setting in declared.items():
            value = assembly.layers.lookup(plugin.name, field, setting.env)
            if value is not None and value[1] == "ragwork.toml":
                yield from known.remark(setting.env, assembly.layers.place(plugin.name, field, setting.env))


class Known:
    """Every name that something installed reads."""

    def __init__(self, assembly: PluginSet) -> None:
        infos = {loaded.name: loaded.info for loaded in assembly.plugins}
        found = discovery.installed(discovery.PLUGINS)
        lock_file = assembly.kernel.plugin_lock
        lock = PluginLock.read(assembly.layers.toml.path.parent / lock_file) if lock_file else None
        infos |= disabled_plugins(set(found) - set(infos), found, lock)[0]
        names = [*_OWN, *(info.env for info in settings_of(KernelConfig).values())]
        names += [name for info in infos.values() for name in _names(info)]
        classes = assembly.configuration.classes
        names += [info.env for config in classes.values() for info in settings_of(config).values()]
        self._disabled = _owners(infos, {loaded.name for loaded in assembly.plugins})
        self._names = [name for name in names if "<" not in name]
        self._patterns = [name for name in names if "<" in name]
        self._explained = {name: why for info in infos.values() for name, why in info.explained.items()}
        self._words = {name.partition("_")[0] for name in self._names} - _COMMON
        kinds = {kind.name for kind in (*KINDS, *(kind for info in infos.values() for kind in info.kinds))}
        self._providers = {entry for kind in kinds for entry in discovery.installed(f"ragwork.{kind}")}

    def looks_like_ours(self, name: str) -> bool:
        """Whether a name of the environment was meant for us."""
        if name in self._explained or any(_part(pattern, name) for pattern in self._patterns):
            return True
        return name.partition("_")[0] in self._words or self.nearly(name)

    def nearly(self, name: str) -> bool:
        """Whether ``name`` is a setting's, but for a letter or two."""
        return bool(difflib.get_close_matches(name, self._names, n=1, cutoff=_NEARLY))

    def remark(self, name: str, where: str) -> Iterator[ConfigError]:
        """What is strange about ``name``, if anything."""
        bare = name.removesuffix("_FILE")
        if bare in self._explained:
            yield ConfigError(where, f"has no effect: {self._explained[bare]}", "remove it")
            return
        if name in self._names or bare in self._names:
            if owner := self._disabled.get(name) or self._disabled.get(bare):
                fix = f"enable it with `ragwork plugins enable {owner}`, or remove the name"
                yield ConfigError(where, f"has no effect: its plugin {owner!r} is disabled", fix)
            return
        for pattern in () if self.nearly(bare) else self._patterns:
            part = _part(pattern, name) or _part(pattern, bare)
            if part is not None:
                if _PROVIDER in pattern and part.lower() not in self._providers:
                    what = f"no installed provider is called {part.lower()!r}"
                    yield ConfigError(where, what, nearest(part.lower(), sorted(self._providers)))
                return
        close = difflib.get_close_matches(name, self._names, n=1)
        fix = f"did you mean {close[0]!r}?" if close else "remove it, or install the plugin that reads it"
        yield ConfigError(where, "no installed plugin has a setting of this name", fix)


def _names(info: PluginInfo) -> list[str]:
    declared = [] if info.config is None else [setting.env for setting in settings_of(info.config).values()]
    return [*declared, *info.secrets, *info.reads]


def _owners(infos: Mapping[str, PluginInfo], enabled: set[str]) -> dict[str, str]:
    """Names that only disabled plugins read → one of these plugins."""
    read = {name for plugin in enabled for name in _names(infos[plugin])}
    return {
        name: plugin
        for plugin, info in infos.items()
        if plugin not in enabled
        for name in _names(info)
        if name not in read
    }


def _part(pattern: str, name: str) -> str | None:
    """What stands in ``name`` in place of the part in angle brackets."""
    head, _, rest = pattern.partition("<")
    match = re.fullmatch(f"{re.escape(head)}(.+){re.escape(rest.partition('>')[2])}", name)
    return match[1] if match else None
