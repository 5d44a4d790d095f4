"""Telling somebody: notices in a stream, and channels to the outside."""

from collections.abc import Mapping
from typing import Protocol

import attrs


@attrs.frozen(kw_only=True)
class Notification:
    """Something the caller should know, shown as a frame of the stream (``cost.warn`` …)."""

    type: str
    data: Mapping[str, object]


@attrs.frozen(kw_only=True)
class Destination:
    """Where a channel delivers to. ``secret_ref`` names a secret of the tenant's own namespace."""

    id: str
    tenant_id: str
    url: str
    secret_ref: str | None = None


class Channel(Protocol):
    """Provider of kind ``notification``."""

    @property
    def name(self) -> str: ...

    async def deliver(self, destination: Destination, delivery_id: str, notice: Notification) -> None:
        """Deliver once; ``delivery_id`` is stable over attempts. Raises ``ProviderError``."""
