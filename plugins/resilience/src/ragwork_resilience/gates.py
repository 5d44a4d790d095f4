"""The bulkhead of runs, as an admission gate."""

from ragwork_hooks.admission import Admission, Ask, Hold, Stage
from ragwork_hooks.authz import Deny
from ragwork_hooks.plugin import Metrics

from ragwork_resilience.bulkhead import RETRY_AFTER_S, Bulkhead, Slot


class RunGate:
    """A run waits for its turn, first come, first served and fair per tenant, then is refused with 503.

    Asked after the body was read and the rights were checked: a client that sends slowly holds no place.
    """

    def __init__(self, concurrency: int, wait_s: float, metrics: Metrics) -> None:
        self.name = "resilience.runs"
        self.stage: Stage = "capacity"
        self.bulkhead = Bulkhead(concurrency)
        self._wait_s = wait_s
        self._metrics = metrics

    async def admit(self, ask: Ask) -> Admission | Deny:
        """A place for a request of rate class ``run``, held until the kernel settles it."""
        if ask.rate_class != "run":
            return Admission()
        owner = ask.principal.tenant_id if ask.principal is not None else ask.peer
        slot = await self.bulkhead.take(owner, self._wait_s)
        if slot is None:
            self._metrics.count("runs_refused_total", "Runs refused because too many were under way")
            return Deny(
                "SERVICE_BUSY",
                f"{self.bulkhead.taken} runs are under way; ask again shortly",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        return Admission(hold=Hold(settle=lambda started: self._settle(slot)))

    async def _settle(self, slot: Slot) -> None:
        slot.release()
