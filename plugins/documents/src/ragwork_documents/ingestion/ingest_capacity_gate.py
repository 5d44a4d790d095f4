"""How many ingestion requests one process takes in at a time."""

from typing import Final

from ragwork_hooks.admission import Admission, AdmissionRequest, Reservation, Stage, Wire
from ragwork_hooks.authz import Deny
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import AnyRoute
from ragwork_hooks.shares import Share, Shares

SWITCH: Final = "ingest"
#: How long a request waits whose tenant has another under way, in seconds.
WAIT_S: Final = 2.0
#: Requests that may wait.
WAITING: Final = 100


class IntakeGate:
    """An ingestion request waits for its turn, then is refused with 503. Its job is the worker's business."""

    def __init__(self, places: Shares) -> None:
        self.name = "documents.intake"
        self.stage: Stage = "capacity"
        self._places = places

    async def admit(self, request: AdmissionRequest) -> Admission | Deny:
        """A place for a route of the switch ``ingest``, held until the kernel settles it."""
        if request.switch != SWITCH:
            return Admission()
        try:
            share = await self._places.take()
        except Problem as busy:
            return Deny(busy.code, busy.message, headers=busy.headers)
        return Admission(reservation=Reservation(settle=lambda started: self._settle(share)))

    def wire(self, route: AnyRoute) -> Wire:
        return Wire(codes=("SERVICE_BUSY",)) if route.switch == SWITCH else Wire()

    async def _settle(self, share: Share) -> None:
        share.release()
