"""Times without the shared state: counted as they happen, recorded at most once a minute."""

from collections.abc import Callable
from typing import Final

from ragwork_hooks.audit import PLATFORM_TENANT, AuditEvent, AuditLog
from ragwork_hooks.operations import Metrics
from ragwork_hooks.services import Services

#: At most one record in this time, per process.
RECORD_EVERY_S: Final = 60.0
#: How soon the first failure is recorded.
LOOK_EVERY_S: Final = 1.0


class DegradationAudit:
    """Counts requests that were decided without the shared state and records them in the audit log."""

    def __init__(self, fail_mode: str, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._fail_mode = fail_mode
        self._metrics = metrics
        self._clock = clock
        self._unrecorded = 0
        self._recorded_at = -RECORD_EVERY_S

    def happened(self) -> None:
        """One more request was decided without the shared state."""
        self._unrecorded += 1
        self._metrics.count(
            "rate_limit_degraded_total", "Requests whose limits were decided without the shared state"
        )

    async def record(self, services: Services) -> None:
        """Write what is not yet recorded, unless the last record is too young. Without a log, nothing."""
        log = services.use_optional(AuditLog)
        now = self._clock()
        if log is None or not self._unrecorded or now - self._recorded_at < RECORD_EVERY_S:
            return
        count = self._unrecorded
        event = AuditEvent(
            type="system.rate_limit.degraded",
            outcome="failure",
            actor_type="system",
            metadata={"requests": count, "fail_mode": self._fail_mode},
            error_code="STATE_UNAVAILABLE",
        )
        async with services.db.tenant(PLATFORM_TENANT, "write") as tx:
            await log.append(tx, event)
        self._unrecorded -= count
        self._recorded_at = now
