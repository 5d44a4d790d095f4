"""What every plugin adds, asked once, in order; what can't work is inactive with its reason."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import attrs
from ragwork_hooks.errors import ConfigError, NotConfigured
from ragwork_hooks.plugin import Contribution, PluginContext
from ragwork_hooks.providers import ProviderContext

from ragwork_kernel.boot import bindings
from ragwork_kernel.boot.plugin_set import LoadedPlugin, PluginSet
from ragwork_kernel.boot.providers import ProviderOffer
from ragwork_kernel.boot.services import KernelServices, PluginServices

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Collected:
    """``off`` has plugins that nobody configured, with what to set; ``inactive`` the reasons of those that can't work;
    ``faults`` what the operator must mend first.
    """

    contributions: dict[str, Contribution]
    offers: list[ProviderOffer]
    inactive: dict[str, str]
    off: dict[str, str]
    facades: dict[str, PluginServices]
    configs: dict[str, Any]
    capabilities: dict[type, object]
    faults: list[ConfigError]

    @property
    def offered(self) -> set[tuple[str, str]]:
        """(kind, name) of the providers of active plugins."""
        return {(offer.kind, offer.name) for offer in self.offers}

    def capability(self, kind: type[T]) -> T | None:
        """What the kernel itself uses, if some plugin provides it."""
        return cast("T | None", self.capabilities.get(kind))


def collect(assembly: PluginSet, parts: KernelServices) -> Collected:
    """Ask every plugin for its contribution, in order. A wrong setting is a fault whoever finds it; a plugin
    that can't work for another reason is inactive, unless it is critical.
    """
    capabilities: dict[type, object] = {}
    found = Collected(
        contributions={},
        offers=[],
        inactive={},
        off={},
        facades={},
        configs={},
        capabilities=capabilities,
        faults=[],
    )
    offers = bindings.offers(assembly)
    for loaded in assembly.plugins:
        try:
            contribution = _contribute(assembly, loaded, parts, capabilities, found, offers)
        except NotConfigured as error:
            found.off[loaded.name] = str(error)
            continue
        except Exception as error:
            found.inactive[loaded.name] = str(error)
            if loaded.info.critical or isinstance(error, ConfigError):
                found.faults.append(_cannot_start(assembly, loaded, error))
            continue
        if contribution.off is not None:
            found.off[loaded.name] = contribution.off
        found.contributions[loaded.name] = contribution
        capabilities.update(contribution.capabilities)
    return found


def _contribute(
    assembly: PluginSet,
    loaded: LoadedPlugin,
    parts: KernelServices,
    capabilities: Mapping[type, object],
    found: Collected,
    offers: Mapping[tuple[str, str], bindings.Offer],
) -> Contribution:
    missing = [c.__name__ for c in loaded.info.requires if c not in capabilities]
    if missing:
        raise LookupError(f"needs {', '.join(missing)}, which no active plugin provides")
    config = assembly.configuration.section(loaded.name) if loaded.info.config else None
    services = PluginServices.of(parts, loaded.info, capabilities)
    found.facades[loaded.name] = services
    found.configs[loaded.name] = config
    context: PluginContext[Any] = PluginContext(services=services, config=config)
    contribution = assembly.call(loaded, "ragwork_contribute", context=context) or Contribution()
    if not isinstance(contribution, Contribution):
        raise TypeError(f"ragwork_contribute returned {contribution!r}; return a Contribution")
    unkept = set(loaded.info.provides) - set(contribution.capabilities)
    if unkept:
        raise TypeError(f"promises {', '.join(c.__name__ for c in unkept)} and does not provide it")
    for (kind, name), offer in offers.items():
        if offer.plugin == loaded.name:
            own = config if offer.section == loaded.name else assembly.configuration.section(offer.section)
            provider_context: ProviderContext[Any] = ProviderContext(services=services, config=own)
            found.offers.append(
                ProviderOffer(kind=kind, name=name, entry=offer.entry, context=provider_context)
            )
    return contribution


def _cannot_start(assembly: PluginSet, loaded: LoadedPlugin, error: Exception) -> ConfigError:
    if isinstance(error, ConfigError):
        return assembly.configuration.placed(error, loaded.name)
    return ConfigError(
        f"plugin {loaded.name!r}",
        f"is critical and can't start: {type(error).__name__}: {error}",
        "mend its settings or enable what it needs",
    )
