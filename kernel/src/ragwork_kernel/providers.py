"""The binding table: provider names to opened providers, wrapped once, opened when first bound."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any

import attrs
from ragwork_hooks.errors import ConfigError, ProviderError
from ragwork_hooks.llm import ChatModel
from ragwork_hooks.notification import Channel
from ragwork_hooks.plugin import NoOptions, Provider, ProviderContext, Wrap
from ragwork_hooks.policy import PolicyEngine
from ragwork_hooks.retrieval import Embedder, Retriever
from ragwork_hooks.tts import SpeechRecognizer, SpeechSynthesizer

from ragwork_kernel import codec
from ragwork_kernel.bindings import provider_of
from ragwork_kernel.kinds import KINDS
from ragwork_kernel.layers import nearest

log = logging.getLogger(__name__)

#: How long providers may take to close, all together.
CLOSE_S = 3.0


async def _close(provider: Any) -> None:
    close: Callable[[], Any] | None = getattr(provider, "aclose", None)
    if close is not None:
        with suppress(Exception):
            await close()


@attrs.frozen(kw_only=True)
class Offer:
    """A provider of an enabled plugin, not imported yet. ``context`` is what its factory will be given."""

    kind: str
    name: str
    context: ProviderContext[Any]


class ProviderTable:
    """Implements ``ragwork_hooks.plugin.Providers``. Filled at boot, then only opened from."""

    def __init__(self, open_timeout_s: float = 30.0) -> None:
        self._open_timeout_s = open_timeout_s
        self._offers: dict[tuple[str, str], Offer] = {}
        self._wraps: dict[str, tuple[Wrap, ...]] = {}
        self._loaded: dict[tuple[str, str], Provider[Any]] = {}
        self._opened: dict[tuple[str, str], asyncio.Task[Any]] = {}
        # Without their wraps, which need not pass ``aclose`` on.
        self._bare: list[Any] = []

    def fill(self, offers: Sequence[Offer], wraps: Sequence[Wrap]) -> None:
        self._offers = {(offer.kind, offer.name): offer for offer in offers}
        for kind in KINDS:
            self._wraps[kind] = tuple(wrap for wrap in wraps if wrap.kind == kind)

    def names(self, kind: str) -> Sequence[str]:
        return sorted(name for offered, name in self._offers if offered == kind)

    async def check(self, kind: str, name: str, options: Mapping[str, object], tenant_id: str) -> None:
        provider = await self._imported(kind, name)
        known = provider.options
        if known is NoOptions and not options:
            return
        fields = [field.name for field in attrs.fields(known)]
        for key in options:
            if key not in fields:
                row: dict[str, object] = {
                    "type": "extra_forbidden",
                    "loc": ["body", "provider_config_json", kind, key],
                    "msg": f"{name} has no option {key!r}; {nearest(key, fields)}",
                }
                raise codec.invalid([row])
        checked: object = codec.structure(dict(options), known, f"provider_config_json.{kind}")
        context = self._offer(kind, name).context
        reason = provider.permit(context, tenant_id, checked) if provider.permit is not None else None
        if reason is not None:
            loc = ["body", "provider_config_json", kind]
            raise codec.invalid([{"type": "value_error", "loc": loc, "msg": reason}])

    async def retriever(self, name: str) -> Retriever:
        opened: Retriever = await self._open("retrieval", name)
        return opened

    async def embedder(self, name: str) -> Embedder:
        opened: Embedder = await self._open("embedding", name)
        return opened

    async def chat_model(self, name: str) -> ChatModel:
        opened: ChatModel = await self._open("llm", name)
        return opened

    async def synthesizer(self, name: str) -> SpeechSynthesizer:
        opened: SpeechSynthesizer = await self._open("tts", name)
        return opened

    async def recognizer(self, name: str) -> SpeechRecognizer:
        opened: SpeechRecognizer = await self._open("asr", name)
        return opened

    async def channel(self, name: str) -> Channel:
        opened: Channel = await self._open("notification", name)
        return opened

    async def policy_engine(self, name: str) -> PolicyEngine:
        opened: PolicyEngine = await self._open("policy_engine", name)
        return opened

    async def opened(self, kind: str, name: str) -> Any:
        """A provider of any kind, for checks."""
        return await self._open(kind, name)

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

    async def _open(self, kind: str, name: str) -> Any:
        key = (kind, name)
        task = self._opened.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.create_task(self._make(kind, name), name=f"open {kind} {name}")
            self._opened[key] = task
        return await asyncio.shield(task)

    async def _make(self, kind: str, name: str) -> Any:
        offer = self._offer(kind, name)
        opened = await self._in_time(kind, name, self._bare_one(kind, name, offer))
        self._bare.append(opened)
        for wrap in self._wraps[kind]:
            opened = wrap.wrap(name, opened)
        return opened

    async def _bare_one(self, kind: str, name: str, offer: Offer) -> Any:
        provider = await self._imported(kind, name)
        return await provider.open(offer.context)

    async def _in_time(self, kind: str, name: str, opening: Coroutine[Any, Any, Any]) -> Any:
        """What ``opening`` gives. One that hangs is left behind: it may ignore its cancellation."""
        task = asyncio.create_task(opening)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._open_timeout_s)
        finally:
            task.cancel()
        if not done:
            log.error(
                "%s provider %s did not open within %g s; see why it hangs, or raise PROVIDER_OPEN_TIMEOUT_SECONDS",
                kind, name, self._open_timeout_s,
            )  # fmt: skip
            raise ProviderError(
                "INTEGRATION_UNAVAILABLE",
                f"{kind} provider {name!r} did not open within {self._open_timeout_s:g} s",
                retryable=True,
            )
        return task.result()

    async def _imported(self, kind: str, name: str) -> Provider[Any]:
        if (kind, name) in self._loaded:
            return self._loaded[kind, name]
        # Importing a provider's module may pull in a vendor SDK: never on the loop.
        return await asyncio.to_thread(self._provider, kind, name)

    def _provider(self, kind: str, name: str) -> Provider[Any]:
        offer = self._offer(kind, name)
        key = (offer.kind, offer.name)
        if key not in self._loaded:
            try:
                loaded = provider_of(kind, name)
            except ConfigError as error:
                # Its reason is the operator's business, not a tenant's.
                log.error("%s provider %s can't be loaded: %s", kind, name, error)
                raise ProviderError(KINDS[kind], f"{kind} provider {name!r} can't be loaded") from error
            self._loaded[key] = loaded
        return self._loaded[key]

    def _offer(self, kind: str, name: str) -> Offer:
        offer = self._offers.get((kind, name))
        if offer is None:
            raise ProviderError(
                KINDS[kind],
                f"no enabled plugin offers {kind} provider {name!r}; {nearest(name, self.names(kind))}",
            )
        return offer
