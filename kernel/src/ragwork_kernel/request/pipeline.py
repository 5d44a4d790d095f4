"""The request path, in the order in which it decides. What is refused earlier costs nothing later."""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import attrs
from aiohttp import web
from ragwork_hooks.authz import Decision
from ragwork_hooks.credentials import CredentialFormat
from ragwork_hooks.errors import Problem, ProviderError
from ragwork_hooks.events import Observer
from ragwork_hooks.http import AnyRoute, ErrorFormat, EventStream, Request
from ragwork_hooks.idempotency import Replayed
from ragwork_hooks.infrastructure import KernelTracer
from ragwork_hooks.storage import Database, Mode, Transaction

from ragwork_kernel.base.config import KernelConfig
from ragwork_kernel.base.error_answers import classify
from ragwork_kernel.base.shares import address_of, working_for
from ragwork_kernel.base.telemetry import Telemetry
from ragwork_kernel.request import client_address, idempotency, refusals, request_body, sse
from ragwork_kernel.request.admission import AdmissionGates
from ragwork_kernel.request.authentication import Authenticators, authenticate
from ragwork_kernel.request.authorization import AuthorizationGates, refuse, tenant_acted_on
from ragwork_kernel.request.body_memory import BodyMemory
from ragwork_kernel.request.proven import Proven
from ragwork_kernel.request.request_audit import OwnRecord, RequestAudit
from ragwork_kernel.request.request_context import RequestContext
from ragwork_kernel.request.responses import ResponseFormat, ResponseFormats

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Pipeline:
    """Runs every request through the same steps; holds what the frozen plan says of each."""

    def __init__(
        self,
        *,
        config: KernelConfig,
        db: Database,
        authorization: AuthorizationGates,
        authenticators: Authenticators,
        credential_formats: tuple[CredentialFormat, ...],
        admission: AdmissionGates,
        idempotency_keys: idempotency.IdempotencyKeys,
        request_audit: RequestAudit,
        observers: tuple[Observer, ...],
        streams: sse.StreamRegistry,
        telemetry: Telemetry,
        tracer: KernelTracer,
    ) -> None:
        self._config = config
        self._db = db
        self._authorization = authorization
        self._authenticators = authenticators
        self._admission = admission
        self._idempotency_keys = idempotency_keys
        self._request_audit = request_audit
        self._observers = observers
        self._client = client_address.ClientAddress(config.trusted_proxies)
        self._streams = streams
        self._telemetry = telemetry
        self._tracer = tracer
        self._proven = Proven(credential_formats)
        self._bodies = BodyMemory(config.body_memory_bytes, telemetry.shares)
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._formats = ResponseFormats(config)

    def handler(self, route: AnyRoute, *, legacy: bool = False) -> Handler:
        """The aiohttp handler of one route."""

        async def handle(request: web.Request) -> web.StreamResponse:
            with self._tracer.request(route.method, route.path) as answered:
                response = await self._exchange(request, route, legacy)
                answered(response.status)
                return response

        return handle

    def refuse(
        self,
        request: web.BaseRequest,
        problem: Problem,
        *,
        legacy: bool,
        error_format: ErrorFormat | None = None,
    ) -> web.Response:
        """Answer a request that no route takes."""
        started = time.perf_counter()
        request_id = str(uuid.uuid4())
        response_format = self._formats.of(request, request_id, legacy=legacy, error_format=error_format)
        self._telemetry.begin(request_id)
        self._finish(request, "other", problem.status, started, request_id, response_format, "")
        return response_format.failure(problem, {})

    def refusal(self, problem: Problem) -> web.Response:
        """The answer to a client that has sent no request."""
        return self._formats.without_request(str(uuid.uuid4())).failure(problem, {})

    def bare(
        self, request: web.Request, status: int, headers: Mapping[str, str], data: bytes | None = None
    ) -> web.Response:
        """An answer that no route gives: a redirect, a preflight, the page at the root."""
        response_format = self._formats.of(request, str(uuid.uuid4()))
        return web.Response(status=status, headers={**response_format.headers, **headers}, body=data)

    async def idle(self, within_s: float) -> bool:
        """Wait until no request is under way; whether that came to pass in time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), within_s)
        return self._idle.is_set()

    async def settled(self) -> None:
        """Wait until every reservation of finished requests is settled."""
        await asyncio.gather(self._admission.settled(), self._request_audit.all_settled())

    async def _exchange(self, request: web.Request, route: AnyRoute, legacy: bool) -> web.StreamResponse:
        context = self._open(request, route, legacy)
        self._telemetry.begin(context.request_id)
        # A connection's requests run in one task: each says anew whom it works for.
        working_for.set(address_of(context.peer))
        self._in_flight += 1
        self._idle.clear()
        status = 499
        try:
            response = await self._answer(context)
            status = response.status
            return response
        finally:
            status = context.sent_whole or status
            recording = self._request_audit.settle(context)
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()
            if context.body is not None:
                context.body.release()
            self._admission.settle(
                context.admission.reservations,
                handled=context.handled,
                rolled_back=context.rolled_back,
                recording=recording,
            )
            self._observe(context, status)
            tenant = context.caller.tenant_id if context.caller else ""
            self._finish(
                request,
                route.path,
                status,
                context.started,
                context.request_id,
                context.response_format,
                tenant,
            )

    def _finish(
        self,
        request: web.BaseRequest,
        path: str,
        status: int,
        started: float,
        request_id: str,
        response_format: ResponseFormat,
        tenant: str,
    ) -> None:
        self._telemetry.end(
            method=request.method,
            path=path,
            status=status,
            seconds=time.perf_counter() - started,
            request_id=request_id,
            client_id=response_format.echo_id,
            tenant=tenant,
        )

    async def _answer(self, context: RequestContext) -> web.StreamResponse:
        try:
            async with asyncio.timeout_at(context.deadline) as limit:
                result = await self._decide_and_run(context, limit)
        except Exception as error:
            problem = await self._recorded(context, error)
            context.code = problem.code
            return self._timed(context, context.response_format.failure(problem, context.admission.headers))
        if isinstance(result, EventStream):
            return await self._stream(context, result)
        return self._timed(context, result)

    async def _decide_and_run(
        self, context: RequestContext, limit: asyncio.Timeout
    ) -> web.Response | EventStream:
        """address → authenticate → switch → role → rate → memory → decode → entitlement → capacity, then the work."""
        refusals.unreadable(context.request)
        if not self._proven.knows(context.request):
            public = context.route.scope == "public"
            credential = None if public else self._proven.well_formed(context.request)
            await self._admission.ask(context, "address", credential=credential)
        context.caller = await authenticate(self._authenticators, context, self._proven)
        if context.caller is not None:
            working_for.set(context.caller.tenant_id)
        await self._admission.ask(context, "switch")
        await self._authorize_role(context)
        await self._admission.ask(context, "rate")
        decoded = await self._arrived(context, limit)
        self._target(context, decoded)
        for feature in await self._features(decoded, context.route):
            await self._admission.ask(context, "entitlement", feature=feature)
        await self._admission.ask(context, "capacity")
        mutation = context.route.transaction == "write"
        own = context.caller is not None and context.tenant_id == context.caller.tenant_id
        if not (mutation and own):
            await self._admit_apart(context, decoded)
        try:
            async with self._transaction(context) as tx:
                request = decoded if tx is None else attrs.evolve(decoded, transaction=tx)
                result = await self._work(context, request, mutation and own)
                # A deadline must not cut a COMMIT: then nobody could say whether it took effect.
                limit.reschedule(None)
        except BaseException:
            context.rolled_back = mutation and own
            raise
        return result

    async def _admit_apart(self, context: RequestContext, request: Request[Any, Any]) -> None:
        """Quota, load and cost before the handler, in a short transaction that begins only if one is needed.

        Never two connections at once: so the resource is judged after it. A refusal here still gives way to
        the resource's own, which comes first in the contract.
        """
        route = context.route
        if context.caller is None:
            return
        try:
            async with self._admission.short(context.caller) as begin:
                await self._admission.ask_late(context, begin, free=route.scope == "platform")
                if self._request_audit.kept and route.audit_event and route.transaction in ("none", "read"):
                    await self._request_audit.invoked(await begin(), context)
        except Problem:
            context.rolled_back = True
            denial, context.decisions.denial = context.decisions.denial, None
            async with self._transaction(context) as tx:
                await self._authorize_resource(
                    context, attrs.evolve(request, transaction=tx), gone_is_fine=False
                )
            context.decisions.denial = denial
            raise
        except BaseException:
            context.rolled_back = True
            raise

    async def _work(
        self, context: RequestContext, request: Request[Any, Any], admit: bool
    ) -> web.Response | EventStream:
        """replay → resource → quota, load, cost → handler → record; a mutation does it in one transaction."""
        tx, route = request.transaction, context.route
        context.decisions.stage = "replay"
        claim = self._idempotency_keys.claim(context, request)
        claimed = await self._idempotency_keys.take(tx, claim)
        hit = isinstance(claimed, Replayed)
        request = await self._authorize_resource(context, request, gone_is_fine=hit)
        idempotency.refuse(claimed)
        if admit and tx is not None:
            await self._admission.ask_late(context, _given(tx), free=hit or route.scope == "platform")
        context.decisions.stage, context.decided_at = "handler", time.perf_counter()
        if isinstance(claimed, Replayed):
            return idempotency.replayed(context, claimed.reply)
        record = None
        if route.transaction == "own":
            context.record = OwnRecord(self._request_audit, context)
            record = context.record.take
        result = await route.handler(attrs.evolve(request, admission=context.admission, record=record))
        if isinstance(result, EventStream):
            context.handled = True
            return result
        await self._request_audit.settled(context)
        response = context.response_format.success(result, route.status, context.admission.headers)
        if route.transaction == "write" and tx is not None:
            await self._request_audit.change(tx, context, request, result)
            await self._idempotency_keys.keep(tx, claim, context, result, response)
        context.handled = True
        return response

    async def _recorded(self, context: RequestContext, error: Exception) -> Problem:
        """The refusal that ``error`` is, once the audit log has it."""
        try:
            await self._request_audit.settled(context)
            if not isinstance(error, Problem):
                return self._unforeseen(context, error)
            if error.status == 422:
                self._telemetry.error("validation")
            await self._request_audit.refusal(context, error)
        except Problem as unwritten:
            return unwritten
        except Exception as unwritten:
            return self._unforeseen(context, unwritten)
        return error

    def _observe(self, context: RequestContext, status: int) -> None:
        if not self._observers:
            return
        facts = context.finished(status)
        for observer in self._observers:
            try:
                observer.finished(facts)
            except Exception:
                log.exception("observer %s failed", observer.name)

    @staticmethod
    def _timed(context: RequestContext, response: web.Response) -> web.Response:
        """How long it took to decide and to do, in milliseconds."""
        response.headers["Server-Timing"] = context.server_timing
        return response

    def _open(self, request: web.Request, route: AnyRoute, legacy: bool) -> RequestContext:
        request_id = str(uuid.uuid4())
        return RequestContext(
            request=request,
            route=route,
            request_id=request_id,
            response_format=self._formats.of(
                request, request_id, legacy=legacy, error_format=route.error_format
            ),
            peer=self._client.address(request),
            started=time.perf_counter(),
            deadline=asyncio.get_running_loop().time() + self._config.request_timeout_s,
        )

    async def _authorize_role(self, context: RequestContext) -> None:
        caller, action = context.caller, context.route.action
        if caller is not None and action is not None:
            context.decisions.stage = "role"
            self._judged(context, await self._authorization.decide_stage("role", caller, action, None, None))

    async def _authorize_resource(
        self, context: RequestContext, request: Request[Any, Any], *, gone_is_fine: bool
    ) -> Request[Any, Any]:
        """Load and judge what is acted on. A repeated deletion finds nothing: its stored answer stands.

        For an agent it is loaded again as it stands to the person it acts for: both must be allowed.
        """
        route = context.route
        if route.resource is None or route.action is None or context.caller is None:
            return request
        context.decisions.stage = "resource"
        try:
            asked = [
                (who, await route.resource(attrs.evolve(request, caller=who))) for who in context.caller.chain
            ]
        except Problem as problem:
            if gone_is_fine and problem.status == 404:
                return request
            raise
        decision = await self._authorization.decide_each(asked, route.action, request.transaction)
        self._judged(context, decision)
        return attrs.evolve(request, resource=asked[0][1], decision=decision)

    @staticmethod
    def _judged(context: RequestContext, decision: Decision) -> None:
        """Note who said what, and raise a refusal."""
        context.decision = decision
        context.decisions.authorized(decision)
        refuse(decision)

    @staticmethod
    def _target(context: RequestContext, request: Request[Any, Any]) -> None:
        """Another's tenant is refused as a role would be."""
        if context.caller is not None:
            since, context.decisions.stage = context.decisions.stage, "role"
            context.tenant_id = tenant_acted_on(context.caller, request)
            context.decisions.stage = since

    async def _arrived(self, context: RequestContext, limit: asyncio.Timeout) -> Request[Any, Any]:
        """The decoded request. A body has time of its own to arrive: how fast is not for the work to pay."""
        route, request = context.route, context.request
        context.decisions.stage = "decoding"
        most = request_body.limit_of(route, self._config.max_request_bytes)
        query = request_body.decode_query(request, route)
        if request.body_exists:
            loop = asyncio.get_running_loop()
            since = loop.time()
            limit.reschedule(since + self._config.body_timeout_s)
            body = await self._bodies.decoded(context, most)
            context.deadline += loop.time() - since
            limit.reschedule(context.deadline)
        else:
            body = await self._bodies.decoded(context, most)
        return Request(
            request_id=context.request_id,
            echo_id=context.response_format.echo_id,
            path=refusals.path_of(request),
            query=query,
            body=body,
            headers=request.headers,
            peer=context.peer,
            origin=self._client.origin(context.request),
            admission=context.admission,
            deadline=context.deadline,
            caller=context.caller,
            transaction=None,
            resource=None,
            decision=context.decision,
        )

    @staticmethod
    async def _features(request: Request[Any, Any], route: AnyRoute) -> tuple[str, ...]:
        wanted = await route.feature(request) if callable(route.feature) else route.feature
        if wanted is None:
            return ()
        return (wanted,) if isinstance(wanted, str) else wanted

    def _transaction(self, context: RequestContext) -> AbstractAsyncContextManager[Transaction | None]:
        route = context.route
        if route.transaction in ("none", "own") or context.tenant_id is None:
            return contextlib.nullcontext()
        mode: Mode = "read" if route.transaction == "read" else "write"
        return self._db.tenant(context.tenant_id, mode, stale=route.stale_reads)

    async def _stream(self, context: RequestContext, stream: EventStream) -> web.StreamResponse:
        headers = {
            **context.response_format.headers,
            **context.admission.headers,
            **stream.headers,
            "Server-Timing": context.server_timing,
        }
        response = sse.StreamResponse(stream.status, headers)
        with self._streams.registered(context.caller, context.started) as live:
            try:
                await sse.send(
                    context.request,
                    response,
                    stream,
                    context.response_format.echo_id,
                    live,
                    self._config.stream_timeout_s,
                )
            finally:
                if live.sent_whole:
                    context.sent_whole = response.status
        return response

    def _unforeseen(self, context: RequestContext, error: Exception) -> Problem:
        if isinstance(error, TimeoutError):
            self._telemetry.error("timeout")
            return refusals.too_slow(context, self._config)
        if not isinstance(error, ProviderError):
            self._telemetry.error("unhandled")
        code, message, status = classify(error)
        return Problem(code, message, status=status)


def _given(tx: Transaction) -> Callable[[], Awaitable[Transaction]]:
    async def give() -> Transaction:
        return tx

    return give
