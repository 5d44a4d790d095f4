"""Admission: gates asked stage by stage, the transaction they share, and the reservations they leave."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping
from types import TracebackType

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
        gates = self._gates[stage]
        if not gates:
            return
        asked = AdmissionRequest(
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
        for gate in gates:
            since = time.perf_counter()
            verdict = await _ask(gate, asked)
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

    def short(self, caller: Principal) -> "ShortTransaction":
        """A write transaction of the caller's tenant that begins when somebody asks for it."""
        return ShortTransaction(self._db, caller.tenant_id)

    def settle(
        self,
        reservations: Iterable[Reservation],
        *,
        handled: bool,
        rolled_back: bool,
        recording: "asyncio.Task[None] | None",
    ) -> None:
        """Settle ``reservations`` beside the reply; ``settled`` awaits these tasks, so none is lost.

        What a reservation wrote in a transaction that was rolled back is gone with it. Nothing is taken for what
        ``recording``, which writes a record that is still owed, can't record.
        """
        for reservation in reservations:
            if reservation.written and rolled_back:
                continue
            task = asyncio.create_task(_settled(reservation, handled, recording))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)

    async def settled(self) -> None:
        """Wait until every reservation of finished requests is settled."""
        await asyncio.gather(*self._settling, return_exceptions=True)


class ShortTransaction:
    """Gives ``begin``. An object rather than a generator, since it stands on every request's path."""

    __slots__ = ("_db", "_scope", "_tenant_id", "_tx")

    def __init__(self, db: Database, tenant_id: str) -> None:
        self._db = db
        self._tenant_id = tenant_id
        self._scope: contextlib.AbstractAsyncContextManager[Transaction] | None = None
        self._tx: Transaction | None = None

    async def begin(self) -> Transaction:
        if self._tx is None:
            self._scope = self._db.tenant(self._tenant_id, "write")
            self._tx = await self._scope.__aenter__()
        return self._tx

    async def __aenter__(self) -> OpenTransaction:
        return self.begin

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._scope is not None and self._tx is not None:
            await self._scope.__aexit__(kind, error, tb)


async def _none_yet() -> Transaction:
    raise RuntimeError("this stage of admission has no transaction")


async def _settled(reservation: Reservation, started: bool, recording: "asyncio.Task[None] | None") -> None:
    if recording is not None:
        await asyncio.wait({recording})
        started = started and not recording.cancelled() and recording.exception() is None
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
