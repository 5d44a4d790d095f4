"""The binding table: provider names to opened providers, wrapped once, opened when first bound."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar, cast

import attrs
from ragwork_hooks.errors import ConfigError, ProviderError
from ragwork_hooks.provider_kinds import ProviderKind
from ragwork_hooks.providers import NoOptions, Provider, ProviderContext, ProviderMiddleware

from ragwork_kernel.base import json_codec
from ragwork_kernel.base.layers import nearest
from ragwork_kernel.boot.bindings import provider_of

P = TypeVar("P")

log = logging.getLogger(__name__)

#: How long providers may take to close, all together.
CLOSE_S = 3.0


async def _close(provider: Any) -> None:
    close: Callable[[], Any] | None = getattr(provider, "aclose", None)
    if close is not None:
        with suppress(Exception):
            await close()


@attrs.frozen(kw_only=True)
class ProviderOffer:
    """A provider of an enabled plugin, not imported yet: the entry point ``entry``. ``context`` is what its factory
    will be given.
    """

    kind: str
    name: str
    entry: str
    context: ProviderContext[Any]


class ProviderTable:
    """Implements ``ragwork_hooks.services.Providers``. Filled at boot, then only opened from."""

    def __init__(self, open_timeout_s: float = 30.0) -> None:
        self._open_timeout_s = open_timeout_s
        self._offers: dict[tuple[str, str], ProviderOffer] = {}
        self._wraps: Sequence[ProviderMiddleware[Any]] = ()
        self._loaded: dict[tuple[str, str], Provider[Any]] = {}
        self._opened: dict[tuple[str, str], asyncio.Task[Any]] = {}
        # Without their wraps, which need not pass ``aclose`` on.
        self._bare: list[Any] = []

    def fill(
        self, offers: Sequence[ProviderOffer], provider_middleware: Sequence[ProviderMiddleware[Any]]
    ) -> None:
        self._offers = {(offer.kind, offer.name): offer for offer in offers}
        self._wraps = provider_middleware

    def names(self, kind: ProviderKind[Any]) -> Sequence[str]:
        return sorted(name for offered, name in self._offers if offered == kind.name)

    async def unready(self, kind: ProviderKind[Any], name: str) -> str | None:
        ready = (await self._imported(kind, name)).ready
        return None if ready is None else ready(self._offer(kind, name).context.config)

    async def open(self, kind: ProviderKind[P], name: str) -> P:
        key = (kind.name, name)
        task = self._opened.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.create_task(self._make(kind, name), name=f"open {kind.name} {name}")
            self._opened[key] = task
        return cast(P, await asyncio.shield(task))

    async def check(
        self, kind: ProviderKind[Any], name: str, options: Mapping[str, object], tenant_id: str
    ) -> None:
        provider = await self._imported(kind, name)
        known = provider.options
        if known is NoOptions and not options:
            return
        fields = [field.name for field in attrs.fields(known)]
        for key in options:
            if key not in fields:
                row: dict[str, object] = {
                    "type": "extra_forbidden",
                    "loc": ["body", "provider_config_json", kind.name, key],
                    "msg": f"{name} has no option {key!r}; {nearest(key, fields)}",
                }
                raise json_codec.invalid([row])
        checked: object = json_codec.structure(dict(options), known, f"provider_config_json.{kind.name}")
        context = self._offer(kind, name).context
        reason = (
            provider.check_tenant(context, tenant_id, checked) if provider.check_tenant is not None else None
        )
        if reason is not None:
            loc = ["body", "provider_config_json", kind.name]
            raise json_codec.invalid([{"type": "value_error", "loc": loc, "msg": reason}])

    async def close(self) -> None:
        """Close every opened provider; one that fails, or is still opening, does not keep the others open."""
        for task in self._opened.values():
            task.cancel()
        await asyncio.gather(*self._opened.values(), return_exceptions=True)
        closing = [asyncio.create_task(_close(provider)) for provider in self._bare]
        if closing:
            _, hanging = await asyncio.wait(closing, timeout=CLOSE_S)
            for task in hanging:
                task.cancel()
        self._opened.clear()
        self._bare.clear()

    async def _make(self, kind: ProviderKind[Any], name: str) -> Any:
        offer = self._offer(kind, name)
        opened = await self._in_time(kind, name, self._bare_one(kind, name, offer))
        self._bare.append(opened)
        for wrap in self._wraps:
            if wrap.kind.name == kind.name:
                opened = wrap.wrap(name, opened)
        return opened

    async def _bare_one(self, kind: ProviderKind[Any], name: str, offer: ProviderOffer) -> Any:
        provider = await self._imported(kind, name)
        return await provider.open(offer.context)

    async def _in_time(self, kind: ProviderKind[Any], name: str, opening: Coroutine[Any, Any, Any]) -> Any:
        """What ``opening`` gives. One that hangs is left behind: it may ignore its cancellation."""
        task = asyncio.create_task(opening)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._open_timeout_s)
        finally:
            task.cancel()
        if not done:
            log.error(
                "%s provider %s did not open within %g s; see why it hangs, or raise PROVIDER_OPEN_TIMEOUT_SECONDS",
                kind.name, name, self._open_timeout_s,
            )  # fmt: skip
            raise ProviderError(
                "INTEGRATION_UNAVAILABLE",
                f"{kind.name} provider {name!r} did not open within {self._open_timeout_s:g} s",
                retryable=True,
            )
        return task.result()

    async def _imported(self, kind: ProviderKind[Any], name: str) -> Provider[Any]:
        if (kind.name, name) in self._loaded:
            return self._loaded[kind.name, name]
        # Importing a provider's module may pull in a vendor SDK: never on the loop.
        return await asyncio.to_thread(self._provider, kind, name)

    def _provider(self, kind: ProviderKind[Any], name: str) -> Provider[Any]:
        offer = self._offer(kind, name)
        key = (offer.kind, offer.name)
        if key not in self._loaded:
            try:
                loaded = provider_of(kind.name, offer.entry)
            except ConfigError as error:
                # Its reason is the operator's business, not a tenant's.
                log.error("%s provider %s can't be loaded: %s", kind.name, name, error)
                raise ProviderError(kind.unknown, f"{kind.name} provider {name!r} can't be loaded") from error
            self._loaded[key] = loaded
        return self._loaded[key]

    def _offer(self, kind: ProviderKind[Any], name: str) -> ProviderOffer:
        offer = self._offers.get((kind.name, name))
        if offer is None:
            raise ProviderError(
                kind.unknown,
                f"no enabled plugin offers {kind.name} provider {name!r}; {nearest(name, self.names(kind))}",
            )
        return offer
