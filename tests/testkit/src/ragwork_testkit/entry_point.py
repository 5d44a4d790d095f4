"""Opening a provider as the platform does: by its entry point, with its plugin's settings, within a deadline."""

import asyncio
import importlib
import inspect
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
from ragwork_hooks.provider_kinds import LLM, ProviderKind
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.settings import settings_of
from ragwork_kernel.base.config import Settings
from ragwork_kernel.base.layers import SettingsLayers

from ragwork_testkit.promises import BrokenPromise
from ragwork_testkit.services import OpeningServices
from ragwork_testkit.watched import translated

#: Longest time in seconds for ``open``.
OPEN_S: Final = 20.0
_ADDRESS: Final = re.compile(r"_(URL|URI|ENDPOINT)$")
_SCHEME: Final = re.compile(r"https?://[^/]+")


@attrs.frozen(kw_only=True)
class EntryPoint:
    """One provider that a package offers: of ``kind``, called ``name``, at ``target`` (``module:attribute``)."""

    kind: ProviderKind[Any]
    name: str
    target: str
    plugin_name: str
    plugin_target: str

    def config_class(self) -> type | None:
        config: type | None = _loaded(self.plugin_target).ragwork_info().config
        return config

    def config(self, environ: Mapping[str, str]) -> Any:
        """The plugin's settings object, made as the kernel makes it. Raises ``ConfigError``."""
        config = self.config_class()
        if config is None:
            return None
        layers = SettingsLayers.read(Path("/nonexistent"), environ)
        return Settings(layers, {self.plugin_name: config}).section(self.plugin_name)

    def credentials(self) -> dict[str, str]:
        """A value for each secret setting that has none, so that ``open`` need not stop there."""
        config = self.config_class()
        if config is None:
            return {}
        defaults = {field.name: field.default for field in attrs.fields(config)}
        found = settings_of(config).items()
        return {info.env: "kit-secret" for name, info in found if info.secret and defaults[name] is None}

    def at(self, root: str) -> dict[str, str]:
        """The plugin's settings that hold a service's address, with ``root`` (``http://host:port``) in its place."""
        config = self.config_class()
        if config is None:
            return {}
        defaults = {field.name: field.default for field in attrs.fields(config)}
        return {
            info.env: _SCHEME.sub(root, value) if isinstance(value := defaults[name], str) else root
            for name, info in settings_of(config).items()
            if _ADDRESS.search(info.env) and (defaults[name] is None or _is_address(defaults[name]))
        }

    async def open(self, services: OpeningServices, environ: Mapping[str, str]) -> Any:
        """The provider, held against its protocol. What its seam allows is raised as it is."""
        where = f"open() of the {self.kind.name} provider {self.name!r}"
        provider: Provider[Any] = await asyncio.to_thread(self._provider)
        context = ProviderContext[Any](services=services, config=self.config(environ))  # type: ignore[arg-type]
        try:
            async with asyncio.timeout(OPEN_S) as deadline:
                with translated(where):
                    opened = await provider.open(context)
        except (TimeoutError, BrokenPromise) as error:
            if not deadline.expired():
                raise
            raise BrokenPromise(
                f"{where} ends within {OPEN_S:g} s",
                "connect when the first call needs it, or give the connection a timeout: a run waits for open()",
            ) from error
        check_opened(self.kind, opened, where)
        return opened

    def _provider(self) -> Provider[Any]:
        found = _loaded(self.target)
        if isinstance(found, Provider):
            return found
        raise BrokenPromise(
            f"the entry point {self.name} of the group ragwork.{self.kind.name} names a Provider",
            f"let it name `provider = Provider(name={self.name!r}, open=…)`",
            f"{self.target} is {found!r}",
        )


def check_opened(kind: ProviderKind[Any], opened: object, where: str) -> None:
    """Raises ``BrokenPromise`` when ``opened`` is not what its kind needs."""
    protocol = kind.protocol
    if opened is None:
        raise BrokenPromise(
            f"{where} gives a {protocol.__name__}, not None", "return the provider at its end"
        )
    missing = [name for name in _members(protocol) if not hasattr(opened, name)]
    if missing:
        raise BrokenPromise(
            f"{where} gives a {protocol.__name__}",
            f"return an object with {', '.join(f'`{name}`' for name in missing)} too",
            repr(opened),
        )
    if kind.name == LLM.name and inspect.iscoroutinefunction(getattr(opened, "stream", None)):
        raise BrokenPromise(
            "stream() is an asynchronous generator", "write `async def stream` with `yield`, without `return`"
        )


def entry_points(test: type, kind: ProviderKind[Any]) -> list[EntryPoint]:
    """The providers of ``kind`` that the package of the test class offers, by the ``pyproject.toml`` above its file."""
    file = Path(inspect.getfile(test)).resolve()
    for folder in file.parents:
        if (folder / "pyproject.toml").is_file():
            return list(_declared(folder, kind))
    return []


def _declared(folder: Path, kind: ProviderKind[Any]) -> Iterator[EntryPoint]:
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8")).get("project", {})
    groups = project.get("entry-points", {})
    for plugin_name, plugin_target in groups.get("ragwork.plugins", {}).items():
        for name, target in groups.get(f"ragwork.{kind.name}", {}).items():
            yield EntryPoint(
                kind=kind, name=name, target=target, plugin_name=plugin_name, plugin_target=plugin_target
            )


def _members(protocol: type) -> list[str]:
    return sorted(name for name in vars(protocol) if not name.startswith("_"))


def _loaded(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _is_address(value: object) -> bool:
    return isinstance(value, str) and bool(_SCHEME.match(value))
