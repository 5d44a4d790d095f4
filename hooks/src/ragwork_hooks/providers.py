"""Providers: named implementations of a kind, what stands around them, and who names them in the database."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import attrs

from ragwork_hooks.provider_kinds import ProviderKind
from ragwork_hooks.services import Services

C = TypeVar("C")
P = TypeVar("P")


@attrs.frozen(kw_only=True)
class ProviderMiddleware(Generic[P]):
    """A layer around every provider of ``kind``, composed once when the provider is bound."""

    kind: ProviderKind[P]
    name: str
    wrap: Callable[[str, P], P]


@attrs.frozen(kw_only=True)
class Binding:
    """A provider that stored configuration names; ``where`` says whose, as an operator can find it."""

    kind: str
    name: str
    where: str


@attrs.frozen(kw_only=True)
class StoredBindings:
    """Bindings in the database, of all tenants. ``read`` gives one for each provider that is named: the boot
    refuses to serve while nobody offers it.
    """

    name: str
    read: Callable[[], Awaitable[Sequence[Binding]]]


@attrs.frozen
class NoOptions:
    """The options class of a provider that a binding can't configure further."""


@attrs.frozen(kw_only=True)
class ProviderContext(Generic[C]):
    """What a provider's factory is given; ``config`` is the settings object of its plugin."""

    services: "Services"
    config: C


@attrs.frozen(kw_only=True)
class Provider(Generic[P]):
    """An entry point of the group ``ragwork.<kind>``: one named implementation."""

    #: As a binding names it.
    name: str
    #: Called once per process, when a binding first names the provider.
    open: Callable[[ProviderContext[Any]], Awaitable[P]]
    #: The attrs class of what a corpus may set for it; it checks ``provider_config_json``.
    options: type = NoOptions
    #: Judges what that class can't see, the tenant and the deployment's settings: the reason why the tenant may not
    #: bind these options, naming the fix, or ``None``. No I/O.
    check_tenant: Callable[[ProviderContext[Any], str, Any], str | None] | None = None
    #: Judges the plugin's settings: what is missing for the provider to work at all (``needs OPENAI_API_KEY``), or
    #: ``None``. The boot asks it of every provider that a setting binds. No I/O.
    ready: Callable[[Any], str | None] | None = None
