"""The services that a provider is given when it is tested alone, without a platform around it."""

import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import attrs
from ragwork_hooks.shares import Shares
from ragwork_kernel.base.clock import SystemClock
from ragwork_kernel.base.egress import EgressClient
from ragwork_kernel.base.shares import SharesFactory


@attrs.define
class SetSecrets:
    """Secrets that a test sets, by name."""

    values: dict[str, str] = attrs.field(factory=dict)

    def value(self, name: str) -> str | None:
        return self.values.get(name)

    def key(self, name: str) -> bytes:
        return name.encode().ljust(32, b".")


class RecordedMetrics:
    """What was counted, observed and shown. ``counts`` and ``gauges`` are by name and label values."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.observed: list[tuple[str, float, dict[str, str]]] = []
        self.gauges: dict[tuple[str, ...], float] = {}

    def count(self, name: str, help: str, **labels: str) -> None:
        self.counts[name, *labels.values()] += 1

    def observe(self, name: str, help: str, seconds: float, **labels: str) -> None:
        self.observed.append((name, seconds, labels))

    def gauge(self, name: str, help: str, value: float, **labels: str) -> None:
        self.gauges[name, *labels.values()] = value

    def clear(self) -> None:
        """As new, for whoever keeps them."""
        for seen in (self.counts, self.observed, self.gauges):
            seen.clear()


@attrs.define
class ProviderServices:
    """As much of ``Services`` as a provider of an outside service asks for."""

    secrets: SetSecrets = attrs.field(factory=SetSecrets)
    metrics: RecordedMetrics = attrs.field(factory=RecordedMetrics)
    profile: Literal["development", "test", "production"] = "test"
    shares: Callable[..., Shares] = SharesFactory("test").make

    def reset(self, secrets: Mapping[str, str] | None = None) -> None:
        """As new, with these secrets: for services that outlive a test."""
        self.secrets.values = dict(secrets or {})
        self.metrics.clear()
        self.profile = "test"


class Promised:
    """A part of the platform that ``open`` may keep, and has no business using: it stands for itself."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> "Promised":
        return Promised(f"{self._name}.{name}")

    def __call__(self, *_args: object, **_kwargs: object) -> Any:
        raise RuntimeError(f"open() calls {self._name}, which is there once the platform serves")


@attrs.define(slots=False)
class OpeningServices(ProviderServices):
    """``Services`` for an ``open`` outside a platform. Egress, clock, secrets and metrics work; a capability and
    the database can be kept for later.
    """

    egress: EgressClient = attrs.field(factory=lambda: EgressClient(["127.0.0.0/8", "::1/128"]))
    clock: SystemClock = attrs.field(factory=SystemClock)
    embedded: bool = True

    @cached_property
    def data_dir(self) -> Path:
        return Path(tempfile.gettempdir()) / "ragwork-kit-no-such-folder"

    def use(self, capability: type) -> Promised:
        return Promised(capability.__name__)

    def use_optional(self, capability: type) -> None:
        return None

    def __getattr__(self, name: str) -> Promised:
        if name.startswith("_"):
            raise AttributeError(name)
        return Promised(f"services.{name}")


@asynccontextmanager
async def opening_services(secrets: Mapping[str, str]) -> AsyncIterator[OpeningServices]:
    """Services whose egress client is closed when the block is left."""
    services = OpeningServices(secrets=SetSecrets(dict(secrets)))
    try:
        yield services
    finally:
        await services.egress.close()
