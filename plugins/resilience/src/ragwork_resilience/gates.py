"""Places for runs, as an admission gate."""

from ragwork_hooks.admission import Admission, AdmissionRequest, Reservation, Stage, Wire
from ragwork_hooks.authz import Deny
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import AnyRoute
from ragwork_hooks.shares import Share, Shares


class RunGate:
    """A run waits for its turn, by its tenant's share, then is refused with 503.

    Asked after the body was read and the rights were checked: a client that sends slowly holds no place.
    """

    def __init__(self, shares: Shares) -> None:
        self.name = "resilience.runs"
        self.stage: Stage = "capacity"
        self.shares = shares

    async def admit(self, request: AdmissionRequest) -> Admission | Deny:
        """A place for a request of rate class ``run``, held until the kernel settles it."""
        if request.rate_class != "run":
            return Admission()
        try:
            share = await self.shares.take()
        except Problem as busy:
            return Deny(busy.code, busy.message, headers=busy.headers)
        return Admission(reservation=Reservation(settle=lambda started: self._settle(share)))

    def wire(self, route: AnyRoute) -> Wire:
        return Wire(codes=("SERVICE_BUSY",)) if route.rate_class == "run" else Wire()

    async def _settle(self, share: Share) -> None:
        share.release()
