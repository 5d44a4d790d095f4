"""Durable events: written with the change that causes them, delivered to sinks at least once."""

from collections.abc import Mapping
from typing import Protocol

import attrs

from ragwork_hooks.storage import Transaction


@attrs.frozen(kw_only=True)
class Event:
    """A fact. ``key`` orders: events of one tenant and key reach a sink in the order they were
    published. ``payload`` holds ids and counts, never content or secrets.
    """

    type: str
    key: str
    payload: Mapping[str, object] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Delivery:
    """An event on its way. ``id`` is stable over attempts, so a sink can deduplicate."""

    id: int
    tenant_id: str
    event: Event
    attempt: int


class Sink(Protocol):
    """Takes events of ``types`` (exact names, or a prefix ending in ``.*``)."""

    name: str
    types: tuple[str, ...]

    async def deliver(self, delivery: Delivery) -> None:
        """Raising means another attempt later; after the last it is dead-lettered with the reason."""


class Events(Protocol):
    async def publish(self, tx: Transaction, event: Event) -> None:
        """Write ``event`` to the outbox inside ``tx``; without a sink for its type nothing is written."""
