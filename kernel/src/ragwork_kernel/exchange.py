"""One request on its way: what is known of it so far, for everything that looks at it."""

import time
from collections.abc import Mapping

import attrs
from aiohttp import web
from ragwork_hooks.admission import Grant
from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import Decision, Deny, Judgement
from ragwork_hooks.events import Finished, Step
from ragwork_hooks.http import AnyRoute

from ragwork_kernel.replies import Shape
from ragwork_kernel.shares import KernelShare


@attrs.define(kw_only=True)
class Exchange:
    """``stage`` is where it stands; ``tenant_id`` the tenant it acts on, known after decoding; ``body`` the memory
    reserved for its body.

    ``begun`` says that the handler returned; ``undone`` that the transaction in which gates wrote was
    rolled back; ``sent_whole`` is the status of a stream of which nothing is missing.
    """

    request: web.Request
    route: AnyRoute
    request_id: str
    shape: Shape
    peer: str
    started: float
    deadline: float
    stage: str = "address"
    caller: Principal | None = None
    tenant_id: str | None = None
    grant: Grant = attrs.field(factory=Grant)
    decision: Decision | None = None
    denial: Deny | None = None
    steps: list[Step] = attrs.field(factory=list)
    begun: bool = False
    undone: bool = False
    code: str | None = None
    decided_at: float | None = None
    body: KernelShare | None = None
    sent_whole: int | None = None

    @property
    def server_timing(self) -> str:
        """How long it took to decide and to do, as the header ``Server-Timing`` says it."""
        now = time.perf_counter()
        decided = self.decided_at or now
        decide_ms, handle_ms = (decided - self.started) * 1000, (now - decided) * 1000
        return f"decide;dur={decide_ms:.2f}, handle;dur={handle_ms:.2f}"

    def allowed(self, gate: str, since: float, headers: Mapping[str, str]) -> None:
        """Note a gate's yes; ``since`` is when it was asked, in performance time."""
        spent = time.perf_counter() - since
        self.steps.append(Step(stage=self.stage, gate=gate, said="allow", seconds=spent, headers=headers))

    def denied(self, gate: str, since: float, denial: Deny) -> None:
        """Note a gate's no, which the audit log is told of."""
        self.denial = denial
        spent = time.perf_counter() - since
        self.steps.append(
            Step(
                stage=self.stage,
                gate=gate,
                said="deny",
                seconds=spent,
                code=denial.code,
                headers=denial.headers,
            )
        )

    def judged(self, judgement: Judgement) -> None:
        """Note an authorization gate's verdict."""
        verdict = judgement.verdict
        self.steps.append(
            Step(
                stage=self.stage,
                gate=judgement.gate,
                said=type(verdict).__name__.lower(),
                seconds=judgement.seconds,
                code=verdict.code if isinstance(verdict, Deny) else None,
            )
        )

    def finished(self, status: int) -> Finished:
        """The facts of the whole, for observers."""
        now, caller = time.perf_counter(), self.caller
        return Finished(
            request_id=self.request_id,
            echo_id=self.shape.echo_id,
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
            steps=tuple(self.steps),
        )
