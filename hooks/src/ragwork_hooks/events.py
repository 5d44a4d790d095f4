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
        """Raising means another attempt later; after the last, or at once for ``PermanentFailure``, it is dead-lettered
        with the reason.
        """


class Events(Protocol):
    async def publish(self, tx: Transaction, event: Event) -> None:
        """Write ``event`` to the outbox inside ``tx``; without a sink for its type nothing is written."""


@attrs.frozen(kw_only=True)
class DecisionStep:
    """What one gate said of one request. ``said`` is ``allow``, ``deny``, ``abstain`` or ``hit``; ``headers``
    carry its limits; ``seconds`` is the time it took.
    """

    stage: str
    gate: str
    said: str
    seconds: float
    code: str | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class RequestSummary:
    """One finished request. ``code`` is the error code of a refusal or failure. ``seconds`` is the whole time,
    ``deciding_s`` the part before the handler; a stream ends when its last byte is sent. ``route`` is the
    route's name, ``path`` its template.
    """

    request_id: str
    echo_id: str
    tenant_id: str | None
    actor_id: str | None
    peer: str
    route: str
    method: str
    path: str
    rate_class: str
    status: int
    code: str | None
    seconds: float
    deciding_s: float
    steps: tuple[DecisionStep, ...]


class Observer(Protocol):
    """Told of every finished request, best effort: never in the way of a reply."""

    name: str

    def finished(self, request: RequestSummary) -> None:
        """Must not block or await; a raise is logged and counted."""
