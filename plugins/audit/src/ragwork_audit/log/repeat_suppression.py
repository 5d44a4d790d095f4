"""Floods of refusals: at most one record a second of the same kind and origin, the rest summed up in the next."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import attrs
from ragwork_hooks.audit import AuditEvent

EVERY_S: Final = 1.0
#: Origins remembered; further ones of a tenant and type share one place.
MAX_ORIGINS: Final = 10_000
_THROTTLED: Final = "security.rate_limited"

Origin = tuple[str, str, str]


@attrs.define
class _Flood:
    taken_at: float
    event: AuditEvent
    passed_over: int = 0


class RepeatSuppressor:
    """Decides which refusals are recorded. ``monotonic`` gives seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._suppressor: OrderedDict[Origin, _Flood] = OrderedDict()

    def takes(self, tenant_id: str, event: AuditEvent) -> bool:
        """Whether to record ``event`` now; else it is counted for the next of its origin."""
        if not _summed_up(event):
            return True
        now = self._monotonic()
        origin = self._place(tenant_id, event)
        flood = self._suppressor.get(origin)
        if flood is None:
            self._suppressor[origin] = _Flood(taken_at=now, event=event)
            return True
        if now - flood.taken_at >= EVERY_S:
            flood.taken_at, flood.event = now, event
            self._suppressor.move_to_end(origin)
            return True
        flood.passed_over += 1
        return False

    def owed(self, tenant_id: str, event: AuditEvent) -> int:
        """How many were passed over since the last record of this origin."""
        flood = self._suppressor.get(self._place(tenant_id, event)) if _summed_up(event) else None
        return flood.passed_over if flood is not None else 0

    def paid(self, tenant_id: str, event: AuditEvent, count: int) -> None:
        """A committed record has counted ``count`` of them."""
        flood = self._suppressor.get(self._place(tenant_id, event))
        if flood is not None:
            flood.passed_over = max(0, flood.passed_over - count)

    def ended(self, every: bool = False) -> list[tuple[str, AuditEvent]]:
        """The last event of floods that are over (or of all) and still owe; what owes nothing is forgotten."""
        now = self._monotonic()
        over = [(o, f) for o, f in self._suppressor.items() if every or now - f.taken_at >= EVERY_S]
        for origin, flood in over:
            if not flood.passed_over:
                del self._suppressor[origin]
        return [(origin[0], flood.event) for origin, flood in over if flood.passed_over]

    def _place(self, tenant_id: str, event: AuditEvent) -> Origin:
        who = event.actor_id or (event.origin.peer if event.origin is not None else "")
        origin = (tenant_id, event.type, who)
        if origin in self._suppressor or len(self._suppressor) < MAX_ORIGINS:
            return origin
        return (tenant_id, event.type, "")


def _summed_up(event: AuditEvent) -> bool:
    return event.outcome == "failure" and (event.type == _THROTTLED or event.actor_type == "anonymous")
