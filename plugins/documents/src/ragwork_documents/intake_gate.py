"""How many ingestion requests one process takes in at a time."""

import asyncio
from typing import Final

from ragwork_hooks.admission import Admission, Ask, Hold, Stage, Wire
from ragwork_hooks.authz import Deny
from ragwork_hooks.http import AnyRoute
from ragwork_hooks.plugin import Metrics

SWITCH: Final = "ingest"
WAIT_S: Final = 2.0


class IntakeGate:
    """An ingestion request waits for its turn, then is refused with 503. Its job is the worker's business."""

    def __init__(self, concurrency: int, metrics: Metrics, wait_s: float = WAIT_S) -> None:
        self.name = "documents.intake"
        self.stage: Stage = "capacity"
        self._places = asyncio.Semaphore(concurrency)
        self._metrics = metrics
        self._wait_s = wait_s

    async def admit(self, ask: Ask) -> Admission | Deny:
        """A place for a route of the switch ``ingest``, held until the kernel settles it."""
        if ask.switch != SWITCH:
            return Admission()
        try:
            async with asyncio.timeout(self._wait_s):
                await self._places.acquire()
        except TimeoutError:
            self._metrics.count(
                "ingest_refused_total", "Ingestion requests refused because too many came at once"
            )
            return Deny(
                "SERVICE_BUSY",
                "too many ingestion requests at once; ask again shortly",
                headers={"Retry-After": "1"},
            )
        return Admission(hold=Hold(settle=self._release))

    def wire(self, route: AnyRoute) -> Wire:
        return Wire(codes=("SERVICE_BUSY",)) if route.switch == SWITCH else Wire()

    async def _release(self, _started: bool) -> None:
        self._places.release()
