"""Admission: gates asked stage by stage, the transaction they share, and the reservations they leave."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping

from ragwork_hooks.admission import Admission, AdmissionGate, AdmissionRequest, OpenTransaction, Reservation
from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import Deny, problem_of
from ragwork_hooks.storage import Database, Transaction

from ragwork_kernel.request.request_context import RequestContext

#: Stages that may write: asked last, with a transaction of the caller's tenant.
LATE = ("quota", "sla", "cost")

log = logging.getLogger(__name__)


class AdmissionGates:
    """The admission gates by stage, each a frozen tuple."""

    def __init__(self, db: Database, gates: Mapping[str, tuple[AdmissionGate, ...]]) -> None:
        self._db = db
        self._gates = gates
        self._settling: set[asyncio.Task[None]] = set()

    async def ask(
        self,
        context: RequestContext,
        stage: str,
        *,
        credential: str | None = None,
        feature: str | None = None,
        transaction: OpenTransaction | None = None,
        free: bool = False,
    ) -> None:
        """Ask every gate of ``stage``; the first Deny is raised."""
        context.decisions.stage = stage
        for gate in self._gates[stage]:
            ask = AdmissionRequest(
                principal=context.caller,
                peer=context.peer,
                route=context.route.name,
                rate_class=context.route.rate_class,
                switch=context.route.switch,
                feature=feature,
                request_id=context.request_id,
                open=transaction or _none_yet,
                free=free,
                credential=credential,
            )
            since = time.perf_counter()
            verdict = await _ask(gate, ask)
            if isinstance(verdict, Deny):
                context.decisions.denied(gate.name, since, verdict)
                raise problem_of(verdict, 503)
            context.decisions.allowed(gate.name, since, verdict.headers)
            context.admission = context.admission.plus(verdict)

    async def ask_late(
        self, context: RequestContext, transaction: OpenTransaction, *, free: bool = False
    ) -> None:
        """The stages that may write, in order."""
        for stage in LATE:
            await self.ask(context, stage, transaction=transaction, free=free)

    @contextlib.asynccontextmanager
    async def short(self, caller: Principal) -> AsyncIterator[OpenTransaction]:
        """A write transaction of the caller's tenant that begins when somebody asks for it."""
        opened: list[Transaction] = []
        async with contextlib.AsyncExitStack() as stack:

            async def begin() -> Transaction:
                if not opened:
                    opened.append(await stack.enter_async_context(self._db.tenant(caller.tenant_id, "write")))
                return opened[0]

            yield begin

    def settle(self, reservations: Iterable[Reservation], *, handled: bool, rolled_back: bool) -> None:
        """Settle ``reservations`` beside the reply; ``settled`` awaits these tasks, so none is lost.

        What a reservation wrote in a transaction that was rolled back is gone with it.
        """
        for reservation in reservations:
            if reservation.written and rolled_back:
                continue
            task = asyncio.create_task(_settled(reservation, handled))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    async def settled(self) -> None:
        """Wait until every reservation of finished requests is settled."""
        await asyncio.gather(*self._settling, return_exceptions=True)


async def _none_yet() -> Transaction:
    raise RuntimeError("this stage of admission has no transaction")


async def _settled(reservation: Reservation, started: bool) -> None:
    try:
        await reservation.settle(started)
    except Exception:
        log.exception("a reservation could not be settled")


async def _ask(gate: AdmissionGate, request: AdmissionRequest) -> Admission | Deny:
    try:
        verdict = await gate.admit(request)
    except Exception:
        log.exception("admission gate %s failed; denied", gate.name)
        return Deny("SERVICE_UNAVAILABLE", f"the gate {gate.name} could not decide")
    if isinstance(verdict, Admission | Deny):
        return verdict
    log.error("admission gate %s returned %r; denied", gate.name, verdict)
    return Deny("SERVICE_UNAVAILABLE", f"the gate {gate.name} could not decide")
