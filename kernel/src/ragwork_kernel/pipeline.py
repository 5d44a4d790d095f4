"""The request path, in the order in which it decides. What is refused earlier costs nothing later."""

import asyncio
import contextlib
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import asyncpg
import attrs
from aiohttp import web
from ragwork_hooks.admission import Admission, AdmitGate, Ask, Grant, Hold
from ragwork_hooks.auth import Authenticator, Credential, Principal
from ragwork_hooks.authz import Decision, Deny
from ragwork_hooks.errors import Problem, ProviderError
from ragwork_hooks.http import AnyRoute, Call, EventStream
from ragwork_hooks.storage import Database, Transaction

from ragwork_kernel import body, sse
from ragwork_kernel.authorize import AuthorizationPlan, refusal, refuse
from ragwork_kernel.config import KernelConfig
from ragwork_kernel.replies import SECURITY_HEADERS, Shape
from ragwork_kernel.telemetry import Telemetry
from ragwork_kernel.tracing import KernelTracer

log = logging.getLogger(__name__)
_SAFE_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")
_MAX_ID = 256
_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([!-~]+)")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@attrs.define(kw_only=True)
class Exchange:
    """One request on its way: what is known so far."""

    request: web.Request
    route: AnyRoute
    request_id: str
    shape: Shape
    started: float
    deadline: float
    caller: Principal | None = None
    grant: Grant = attrs.field(factory=Grant)
    decision: Decision | None = None
    begun: bool = False


class Pipeline:
    """Runs every request through the same steps; holds what the frozen plan says of each."""

    def __init__(
        self,
        *,
        config: KernelConfig,
        db: Database,
        authorization: AuthorizationPlan,
        authenticators: tuple[Authenticator, ...],
        admits: Mapping[str, tuple[AdmitGate, ...]],
        streams: sse.StreamRegistry,
        telemetry: Telemetry,
        tracer: KernelTracer,
    ) -> None:
        self._config = config
        self._db = db
        self._authorization = authorization
        self._authenticators = authenticators
        self._admits = admits
        self._streams = streams
        self._telemetry = telemetry
        self._tracer = tracer
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._settling: set[asyncio.Task[None]] = set()
        self._legacy_headers = {
            **SECURITY_HEADERS,
            "Deprecation": "true",
            "Sunset": config.legacy_sunset,
            "Link": '</v1/docs>; rel="successor-version"',
        }

    def handler(self, route: AnyRoute, *, legacy: bool = False) -> Handler:
        """The aiohttp handler of one route."""

        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._exchange(request, route, legacy)

        return self._tracer.handler(handle, route.method, route.path)

    def refuse(self, request: web.Request, problem: Problem, *, legacy: bool) -> web.Response:
        """Answer a request that no route takes."""
        started = time.perf_counter()
        request_id, shape = self._shape(request, legacy)
        self._telemetry.begin(request_id)
        self._finish(request, "other", problem.status, started, request_id, shape, "")
        return shape.failure(problem, {})

    def bare(self, request: web.Request, status: int, headers: Mapping[str, str]) -> web.Response:
        """An answer without a body that no route gives: a redirect, a preflight."""
        _, shape = self._shape(request, legacy=False)
        return web.Response(status=status, headers={**shape.headers, **headers})

    async def idle(self, within_s: float) -> bool:
        """Wait until no request is under way; whether that came to pass in time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), within_s)
        return self._idle.is_set()

    async def settled(self) -> None:
        """Wait until every hold of finished requests is settled."""
        await asyncio.gather(*self._settling, return_exceptions=True)

    async def _exchange(self, request: web.Request, route: AnyRoute, legacy: bool) -> web.StreamResponse:
        exchange = self._open(request, route, legacy)
        self._telemetry.begin(exchange.request_id)
        self._in_flight += 1
        self._idle.clear()
        status = 499
        try:
            response = await self._answer(exchange)
            status = response.status
            return response
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()
            self._settle(exchange)
            tenant = exchange.caller.tenant_id if exchange.caller else ""
            self._finish(
                request, route.path, status, exchange.started, exchange.request_id, exchange.shape, tenant
            )

    def _finish(
        self,
        request: web.Request,
        path: str,
        status: int,
        started: float,
        request_id: str,
        shape: Shape,
        tenant: str,
    ) -> None:
        self._telemetry.end(
            method=request.method,
            path=path,
            status=status,
            seconds=time.perf_counter() - started,
            request_id=request_id,
            client_id=shape.echo_id,
            tenant=tenant,
        )

    async def _answer(self, exchange: Exchange) -> web.StreamResponse:
        try:
            async with asyncio.timeout_at(exchange.deadline) as limit:
                result = await self._decide_and_run(exchange, limit)
            if not isinstance(result, EventStream):
                return exchange.shape.success(result, exchange.route.status, exchange.grant.headers)
        except Problem as problem:
            if problem.status == 422:
                self._telemetry.error("validation")
            return exchange.shape.failure(problem, exchange.grant.headers)
        except Exception as error:
            return exchange.shape.failure(self._unforeseen(error), exchange.grant.headers)
        return await self._stream(exchange, result)

    async def _decide_and_run(self, exchange: Exchange, limit: asyncio.Timeout) -> object:
        """accept → authenticate → switch → role → rate → decode → entitlement → resource → quota → run."""
        route = exchange.route
        exchange.caller = await self._authenticate(exchange)
        await self._admit(exchange, "switch", None)
        await self._authorize_role(exchange)
        await self._admit(exchange, "rate", None)
        call = await self._decode(exchange)
        await self._admit(exchange, "entitlement", await self._feature(call, route))
        async with self._transaction(exchange) as tx:
            call = attrs.evolve(call, transaction=tx)
            call = await self._authorize_resource(exchange, call)
            for stage in ("quota", "sla", "cost"):
                await self._admit(exchange, stage, None)
            exchange.begun = True
            result = await route.handler(attrs.evolve(call, grant=exchange.grant))
            # A deadline must not cut a COMMIT: then nobody could say whether it took effect.
            limit.reschedule(None)
        return result

    def _open(self, request: web.Request, route: AnyRoute, legacy: bool) -> Exchange:
        request_id, shape = self._shape(request, legacy)
        return Exchange(
            request=request,
            route=route,
            request_id=request_id,
            shape=shape,
            started=time.perf_counter(),
            deadline=asyncio.get_running_loop().time() + self._config.request_timeout_s,
        )

    def _shape(self, request: web.Request, legacy: bool) -> tuple[str, Shape]:
        """The server's own id, and how answers are formed; a client's id is echoed when short and safe."""
        request_id = str(uuid.uuid4())
        sent = request.headers.get("X-Request-Id", "")
        echo_id = sent if _SAFE_ID.fullmatch(sent) else request_id
        base = self._legacy_headers if legacy else SECURITY_HEADERS
        headers = {**base, "X-Request-Id": echo_id, **self._cors(request)}
        return request_id, Shape(echo_id=echo_id, legacy=legacy, headers=headers)

    def _cors(self, request: web.Request) -> Mapping[str, str]:
        origin = request.headers.get("Origin")
        if origin is None or origin not in self._config.cors_allow_origins:
            return {}
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}

    async def _authenticate(self, exchange: Exchange) -> Principal | None:
        if exchange.route.scope == "public":
            return None
        request = exchange.request
        credential = Credential(bearer=_bearer(request), peer=request.remote or "", headers=request.headers)
        for authenticator in self._authenticators:
            try:
                principal = await authenticator.authenticate(credential)
            except Problem:
                raise
            except Exception as error:
                log.exception("authenticator %s failed; denied", authenticator.name)
                raise Problem("AUTH_UNAVAILABLE", "credentials can't be checked right now") from error
            if isinstance(principal, Principal):
                return principal
        raise Problem(
            "AUTH_UNAUTHORIZED",
            "send a valid key as `Authorization: Bearer <key>`; `ragwork keys create` makes one",
        )

    async def _authorize_role(self, exchange: Exchange) -> None:
        if exchange.caller is None or exchange.route.action is None:
            return
        exchange.decision = await self._authorization.decide_stage(
            "role", exchange.caller, exchange.route.action, None, None
        )
        refuse(exchange.decision)

    async def _authorize_resource(self, exchange: Exchange, call: Call[Any, Any]) -> Call[Any, Any]:
        route = exchange.route
        if route.resource is None or exchange.caller is None or route.action is None:
            return call
        resource = await route.resource(call)
        decision = await self._authorization.decide_stage(
            "resource", exchange.caller, route.action, resource, call.transaction
        )
        exchange.decision = decision
        refuse(decision)
        return attrs.evolve(call, resource=resource, decision=decision)

    async def _admit(self, exchange: Exchange, stage: str, feature: str | None) -> None:
        for gate in self._admits[stage]:
            ask = Ask(
                principal=exchange.caller,
                peer=exchange.request.remote or "",
                route=exchange.route.name,
                rate_class=exchange.route.rate_class,
                feature=feature,
                request_id=exchange.request_id,
            )
            verdict = await _ask_admission(gate, ask)
            if isinstance(verdict, Deny):
                raise refusal(verdict, 503)
            exchange.grant = exchange.grant.plus(verdict)

    async def _decode(self, exchange: Exchange) -> Call[Any, Any]:
        route, request = exchange.route, exchange.request
        limit = route.body_limit or self._config.max_request_bytes
        query = body.decode_query(request, route)
        return Call(
            request_id=exchange.request_id,
            echo_id=exchange.shape.echo_id,
            path=_path(request),
            query=query,
            body=await body.decode(request, route, limit),
            headers=request.headers,
            peer=request.remote or "",
            grant=exchange.grant,
            deadline=exchange.deadline,
            caller=exchange.caller,
            transaction=None,
            resource=None,
            decision=exchange.decision,
        )

    @staticmethod
    async def _feature(call: Call[Any, Any], route: AnyRoute) -> str | None:
        if route.feature is None or isinstance(route.feature, str):
            return route.feature
        return await route.feature(call)

    @contextlib.asynccontextmanager
    async def _transaction(self, exchange: Exchange) -> AsyncIterator[Transaction | None]:
        mode = exchange.route.transaction
        if mode == "none" or exchange.caller is None:
            yield None
        else:
            async with self._db.tenant(exchange.caller.tenant_id, mode) as tx:
                yield tx

    async def _stream(self, exchange: Exchange, stream: EventStream) -> web.StreamResponse:
        headers = {
            **exchange.shape.headers,
            **exchange.grant.headers,
            **sse.STREAM_HEADERS,
            **stream.headers,
        }
        response = web.StreamResponse(status=stream.status, headers=headers)
        with self._streams.registered(exchange.caller) as live:
            await sse.send(
                exchange.request,
                response,
                stream,
                exchange.shape.echo_id,
                live,
                self._config.stream_timeout_s,
            )
        return response

    def _unforeseen(self, error: Exception) -> Problem:
        if isinstance(error, TimeoutError):
            self._telemetry.error("timeout")
            return Problem(
                "SERVICE_UNAVAILABLE",
                f"not done within {self._config.request_timeout_s:g} s; nothing was changed",
                headers={"Retry-After": "1"},
            )
        if isinstance(error, ProviderError):
            return Problem(error.code, error.message, status=503)
        self._telemetry.error("unhandled")
        log.error("a request failed", exc_info=error)
        if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
            return Problem("DB_ERROR", "the database refused; the operator's log has the cause")
        return Problem("INTERNAL_ERROR", "unexpected failure; the operator's log has the cause")

    def _settle(self, exchange: Exchange) -> None:
        """Settle holds beside the reply; drain awaits these tasks, so none is lost."""
        for hold in exchange.grant.holds:
            task = asyncio.create_task(_settled(hold, exchange.begun))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)


async def _settled(hold: Hold, started: bool) -> None:
    try:
        await hold.settle(started)
    except Exception:
        log.exception("a hold could not be settled")


async def _ask_admission(gate: AdmitGate, ask: Ask) -> Admission | Deny:
    try:
        verdict = await gate.admit(ask)
    except Exception:
        log.exception("admission gate %s failed; denied", gate.name)
        return Deny("SERVICE_UNAVAILABLE", f"the gate {gate.name} could not decide")
    if isinstance(verdict, Admission | Deny):
        return verdict
    log.error("admission gate %s returned %r; denied", gate.name, verdict)
    return Deny("SERVICE_UNAVAILABLE", f"the gate {gate.name} could not decide")


def _bearer(request: web.Request) -> str | None:
    """The one bearer token; two Authorization headers are as good as none."""
    sent = request.headers.getall("Authorization", [])
    if len(sent) != 1:
        return None
    match = _BEARER.fullmatch(sent[0].strip())
    return match[1] if match else None


def _path(request: web.Request) -> Mapping[str, str]:
    """The path's parameters. What no stored id can be is answered like an id that does not exist."""
    for name, value in request.match_info.items():
        if len(value) > _MAX_ID or not value.isprintable():
            raise Problem("NOT_FOUND", f"{name} {value[:40]!r} does not exist")
    return dict(request.match_info)
