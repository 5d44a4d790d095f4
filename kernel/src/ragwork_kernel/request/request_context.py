"""One request on its way: what is known of it so far, for everything that looks at it."""

import time
from typing import TYPE_CHECKING

import attrs
from aiohttp import web
from ragwork_hooks.admission import AdmissionResult
from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import Decision
from ragwork_hooks.events import RequestSummary
from ragwork_hooks.http import AnyRoute

from ragwork_kernel.base.shares import KernelShare
from ragwork_kernel.request.decision_log import DecisionLog
from ragwork_kernel.request.responses import ResponseFormat

if TYPE_CHECKING:
    from ragwork_kernel.request.request_audit import OwnRecord


@attrs.define(kw_only=True)
class RequestContext:
    """Filled in as the request goes on."""

    request: web.Request
    route: AnyRoute
    request_id: str
    response_format: ResponseFormat
    #: The client's address.
    peer: str
    #: In performance time; ``decided_at``, too, which is when the handler was called.
    started: float
    decided_at: float | None = None
    #: In the loop's time.
    deadline: float
    decisions: DecisionLog = attrs.field(factory=DecisionLog)
    #: The latest of the authorization gates.
    decision: Decision | None = None
    caller: Principal | None = None
    #: The tenant that is acted on, known after decoding.
    tenant_id: str | None = None
    #: What the admission gates gave. It grows gate by gate, so that no reservation is lost when a later one refuses.
    admission: AdmissionResult = attrs.field(factory=AdmissionResult)
    #: Of a route whose handler was called and opens its own transaction.
    record: "OwnRecord | None" = None
    #: Memory that is reserved for the body.
    body: KernelShare | None = None
    #: The handler returned.
    handled: bool = False
    #: The transaction in which gates wrote was rolled back.
    rolled_back: bool = False
    #: The refusal's.
    code: str | None = None
    #: The status of a stream of which nothing is missing.
    sent_whole: int | None = None

    @property
    def server_timing(self) -> str:
        """How long it took to decide and to do, as the header ``Server-Timing`` says it."""
        now = time.perf_counter()
        decided = self.decided_at or now
        decide_ms, handle_ms = (decided - self.started) * 1000, (now - decided) * 1000
        return f"decide;dur={decide_ms:.2f}, handle;dur={handle_ms:.2f}"

    def finished(self, status: int) -> RequestSummary:
        """The facts of the whole, for observers."""
        now, caller = time.perf_counter(), self.caller
        return RequestSummary(
            request_id=self.request_id,
            echo_id=self.response_format.echo_id,
            tenant_id=None if caller is None else caller.tenant_id,
            actor_id=None if caller is None else caller.credential_id,
            peer=self.peer,
            route=self.route.name,
            method=self.route.method,
            path=self.route.path,
            rate_class=self.route.rate_class,
            status=status,
            code=self.code,
            seconds=now - self.started,
            deciding_s=(self.decided_at or now) - self.started,
            steps=tuple(self.decisions.steps),
        )
