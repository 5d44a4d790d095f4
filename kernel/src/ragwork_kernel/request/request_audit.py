"""What a request leaves in the audit log: its mutation, its run, or its refusal."""

import asyncio
import logging

from ragwork_hooks.audit import PLATFORM_TENANT, AuditDetails, AuditEvent, AuditLog, Origin
from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import Deny
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import Request, Response
from ragwork_hooks.storage import Database, Transaction

from ragwork_kernel.request.request_context import RequestContext

log = logging.getLogger(__name__)
_REFUSED = (401, 402, 403, 429)
_EVENT_OF_STAGE = {"authentication": "auth.access.failure", "role": "rbac.forbidden"}
_LONGEST_AGENT = 256


class RequestAudit:
    """Writes a request's records; without an audit log only what refusals ask to be written."""

    def __init__(self, db: Database, log: AuditLog | None) -> None:
        self._db = db
        self._log = log
        self._writing: set[asyncio.Task[None]] = set()

    @property
    def kept(self) -> bool:
        return self._log is not None

    async def invoked(self, tx: Transaction, context: RequestContext) -> None:
        """Before the handler of a route that has an event and no write transaction of its own."""
        if self._log is not None and context.route.audit_event is not None:
            event = _event(context, context.route.audit_event, "success", AuditDetails(), None)
            await self._log.append(tx, event)

    async def settled(self, context: RequestContext) -> None:
        """Once the record is there of a handler that opens its own transaction and ended before it committed it."""
        if (writing := self.settle(context)) is not None:
            await asyncio.shield(writing)

    def settle(self, context: RequestContext) -> "asyncio.Task[None] | None":
        """The same beside the request, whatever becomes of it; ``None`` when nothing is owed."""
        if self._log is None or context.record is None or context.record.kept:
            return None
        task = asyncio.create_task(self._alone(context, context.record))
        self._writing.add(task)
        task.add_done_callback(self._written)
        return task

    async def all_settled(self) -> None:
        """Wait until every record of finished requests is written."""
        await asyncio.gather(*self._writing, return_exceptions=True)

    async def _alone(self, context: RequestContext, record: "OwnRecord") -> None:
        if context.caller is not None:
            async with self._db.tenant(context.caller.tenant_id, "write") as tx:
                await record.take(tx)

    def _written(self, task: "asyncio.Task[None]") -> None:
        self._writing.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("the record of a request can't be written", exc_info=task.exception())

    async def change(
        self, tx: Transaction, context: RequestContext, request: Request[object, object], result: object
    ) -> None:
        """After the handler of a mutation, in its transaction: an effect without a record can't commit."""
        note = AuditDetails()
        if isinstance(result, Response):
            if not result.changed:
                return
            note = result.audit or note
        name = note.event or context.route.audit_event
        if self._log is not None and name is not None:
            await self._log.append(tx, _event(context, name, "success", note, request))

    async def refusal(self, context: RequestContext, problem: Problem) -> None:
        """Before the reply that refuses; nothing when the refusal is no denial of a right or a limit."""
        denial = context.decisions.denial or Deny()
        named = problem.audit_event or denial.audit_event
        wanted = named is not None or problem.status in _REFUSED
        if not wanted or (self._log is None and denial.record is None):
            return
        name = named or _EVENT_OF_STAGE.get(context.decisions.stage, "authz.access.denied")
        note = AuditDetails(metadata={"route": context.route.name, "stage": context.decisions.stage})
        event = _event(context, name, "failure", note, None, problem)
        tenant_id = context.caller.tenant_id if context.caller else problem.tenant_id or PLATFORM_TENANT
        taken = self._log is not None and self._log.takes(tenant_id, event)
        if not taken and denial.record is None:
            return
        async with self._db.tenant(tenant_id, "write") as tx:
            if self._log is not None and taken:
                await self._log.append(tx, event)
            if denial.record is not None:
                await denial.record(tx)


class OwnRecord:
    """The record of a request whose handler takes it into a transaction of its own; ``kept`` once that is committed."""

    def __init__(self, audit: RequestAudit, context: RequestContext) -> None:
        self._audit = audit
        self._context = context
        self.kept = False

    async def take(self, tx: Transaction) -> None:
        """Implements ``ragwork_hooks.http.Recorder``."""
        if not self.kept:
            await self._audit.invoked(tx, self._context)
            tx.on_commit(self._keep)

    def _keep(self) -> None:
        self.kept = True


def _event(
    context: RequestContext,
    name: str,
    outcome: str,
    note: AuditDetails,
    request: Request[object, object] | None,
    problem: Problem | None = None,
) -> AuditEvent:
    caller = context.caller
    kind, identifier = _resource(context, request)
    return AuditEvent(
        type=name,
        outcome="success" if outcome == "success" else "failure",
        actor_type="anonymous" if caller is None else caller.kind,
        actor_id=None if caller is None else caller.actor_id or caller.credential_id,
        actor_role=None if caller is None else caller.role.label,
        resource_type=note.resource_type or kind,
        resource_id=note.resource_id or identifier,
        metadata={**note.metadata, **_acting(caller)},
        error_code=None if problem is None else problem.code,
        origin=Origin(
            request_id=context.request_id,
            echo_id=context.response_format.echo_id,
            peer=context.peer,
            user_agent=context.request.headers.get("User-Agent", "")[:_LONGEST_AGENT],
        ),
    )


def _acting(caller: Principal | None) -> dict[str, object]:
    """For whom a caller acted, and with which credential, where the actor alone does not say it."""
    if caller is None or (caller.on_behalf_of is None and caller.actor_id is None):
        return {}
    others = [who.user_id for who in caller.chain][1:]
    return {"credential_id": caller.credential_id} | ({"on_behalf_of": others} if others else {})


def _resource(context: RequestContext, request: Request[object, object] | None) -> tuple[str, str | None]:
    """What was acted on: the loaded resource, else the route's kind and its path's last parameter."""
    if request is not None and request.resource is not None:
        return request.resource.kind, request.resource.id
    values = list(context.request.match_info.values())
    return context.route.name.split(".")[0], values[-1] if values else None
