"""The services that a provider is given when it is tested alone, without a platform around it."""

from collections.abc import Callable, Mapping
from typing import Literal

import attrs
from ragwork_hooks.shares import Shares
from ragwork_kernel.shares import SharesFactory


@attrs.define
class SetSecrets:
    """Secrets that a test sets, by name."""

    values: dict[str, str] = attrs.field(factory=dict)

    def value(self, name: str) -> str | None:
        return self.values.get(name)


@attrs.define
class CountedMetrics:
    """Remembers the names of what was counted."""

    counted: list[str] = attrs.field(factory=list)

    def count(self, name: str, help: str, **labels: str) -> None:
        self.counted.append(name)


@attrs.define
class ProviderServices:
    """As much of ``Services`` as a provider of an outside service asks for."""

    secrets: SetSecrets = attrs.field(factory=SetSecrets)
    metrics: CountedMetrics = attrs.field(factory=CountedMetrics)
    profile: Literal["development", "test", "production"] = "test"
    shares: Callable[..., Shares] = SharesFactory("test").make

    def reset(self, secrets: Mapping[str, str] | None = None) -> None:
        """As new, with these secrets: for services that outlive a test."""
        self.secrets.values = dict(secrets or {})
        self.metrics.counted.clear()
        self.profile = "test"
