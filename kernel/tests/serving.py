"""The real request path over hand-made routes and gates: a real socket, a real database, a real stream parser."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import aiohttp
import attrs
from ragwork_hooks.admission import Admission, AdmissionGate, AdmissionRequest, Wire
from ragwork_hooks.audit import AuditLog
from ragwork_hooks.auth import Authenticator, Credential, Principal, Role
from ragwork_hooks.authz import ABSTAIN, ALLOW, Action, Deny, Gate, ReadScope, Resource, Verdict
from ragwork_hooks.events import Observer
from ragwork_hooks.http import AnyRoute, EventStream, StreamEvent
from ragwork_hooks.idempotency import IdempotencyStore
from ragwork_hooks.plugin import Contribution
from ragwork_hooks.storage import Transaction
from ragwork_kernel.base.config import KernelConfig
from ragwork_kernel.base.telemetry import Telemetry
from ragwork_kernel.base.tracing import make_tracer
from ragwork_kernel.boot import contributions
from ragwork_kernel.boot.server import accepting
from ragwork_kernel.data.db import Pool
from ragwork_kernel.data.notifications import NotificationChannel
from ragwork_kernel.request.admission import AdmissionGates
from ragwork_kernel.request.authentication import Authenticators
from ragwork_kernel.request.authorization import AuthorizationGates
from ragwork_kernel.request.connections import Connections
from ragwork_kernel.request.idempotency import IdempotencyKeys
from ragwork_kernel.request.pipeline import Pipeline
from ragwork_kernel.request.request_audit import RequestAudit
from ragwork_kernel.request.sse import StreamRegistry
from ragwork_kernel.request.web_app import application
from ragwork_testkit.made_routes import READ, public, route


@attrs.frozen
class TokenIsIdentity:
    """Believes a bearer of the form ``tenant.user.role``; abstains from any other. ``root`` has platform scope."""

    name: str = "token-is-identity"

    async def authenticate(self, credential: Credential) -> Principal | None:
        parts = (credential.bearer or "").split(".")
        if len(parts) != 3:
            return None
        tenant, user, role = parts
        return Principal(
            tenant_id=tenant,
            user_id=user,
            credential_id=f"key-{user}",
            kind="api_key",
            role=Role.parse(role),
            platform=user == "root",
        )


@attrs.frozen
class StepGate:
    """An authorization gate that answers what it was given; an exception is raised."""

    answer: object = ALLOW
    name: str = "steps"
    stage: Any = "role"
    log: list[str] = attrs.field(factory=list)

    async def decide(
        self, principal: Principal, action: Action, resource: Resource | None, tx: Transaction | None
    ) -> Verdict:
        self.log.append(self.name)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer  # type: ignore[return-value]  # nonsense is the point of some tests

    def wire(self, route: AnyRoute) -> Wire:
        return Wire()

    async def narrow(self, principal: Principal, action: Action, scope: ReadScope) -> ReadScope:
        return scope


@attrs.frozen
class RoleGate(StepGate):
    """Allows what the caller's role covers."""

    async def decide(
        self, principal: Principal, action: Action, resource: Resource | None, tx: Transaction | None
    ) -> Verdict:
        return ALLOW if principal.role >= action.role else Deny("AUTH_FORBIDDEN", "needs a higher role")


@attrs.frozen
class StepAdmit:
    """An admission gate that answers what it was given; an exception is raised."""

    stage: Any
    answer: object = attrs.field(factory=Admission)
    name: str = attrs.field()
    log: list[str] = attrs.field(factory=list)
    asks: list[AdmissionRequest] = attrs.field(factory=list)

    @name.default
    def _named(self) -> str:
        return f"admit-{self.stage}"

    async def admit(self, request: AdmissionRequest) -> Admission | Deny:
        self.log.append(self.name)
        self.asks.append(request)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer  # type: ignore[return-value]  # nonsense is the point of some tests

    def wire(self, route: AnyRoute) -> Wire:
        return Wire()


@attrs.frozen(kw_only=True)
class Served:
    """A listening pipeline."""

    base: str
    port: int
    pipeline: Pipeline
    streams: StreamRegistry
    pool: Pool
    telemetry: Telemetry
    session: aiohttp.ClientSession
    connections: Connections

    async def call(
        self, method: str = "GET", path: str = "/v1/things", token: str | None = "t1.ann.reader", **more: Any
    ) -> tuple[int, Any, aiohttp.ClientResponse]:
        """Status, decoded JSON (else text) and the response of one request."""
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
        async with self.session.request(
            method, self.base + path, headers=headers, allow_redirects=False, **more
        ) as response:
            text = await response.text(errors="replace")
            found = json.loads(text) if text and "json" in response.headers.get("Content-Type", "") else text
            return response.status, found, response

    async def raw(self, request: bytes, timeout_s: float = 5) -> bytes:
        """What the server answers to these very bytes, up to its closing or ``timeout_s``."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        answer = bytearray()
        try:
            writer.write(request)
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                async with asyncio.timeout(timeout_s):
                    while chunk := await reader.read(65536):
                        answer += chunk
            return bytes(answer)
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def serving(
    dsn: str,
    *routes: AnyRoute,
    authenticators: tuple[Authenticator, ...] = (TokenIsIdentity(),),
    gates: tuple[Gate, ...] = (RoleGate(),),
    admission_gates: tuple[AdmissionGate, ...] = (),
    observers: tuple[Observer, ...] = (),
    audit: AuditLog | None = None,
    replay: IdempotencyStore | None = None,
    **settings: Any,
) -> AsyncIterator[Served]:
    """Serve ``routes`` under the kernel settings ``settings`` until the block is left."""
    config = KernelConfig(**settings)
    contribution = Contribution(
        routes=routes, authenticators=authenticators, gates=gates, admission_gates=admission_gates
    )
    frozen = contributions.freeze({"test": contribution}, ())
    authorization = AuthorizationGates()
    authorization.freeze(frozen.gates)
    async with contextlib.AsyncExitStack() as stack:
        pool = await Pool.open(
            dsn,
            size=config.pool_size + config.pool_overflow,
            statement_timeout_ms=config.statement_timeout_ms,
        )
        stack.push_async_callback(pool.close)
        notifications = NotificationChannel(dsn)
        await notifications.start()
        stack.push_async_callback(notifications.close)
        telemetry, streams = Telemetry("test"), StreamRegistry(notifications)
        pipeline = Pipeline(
            config=config,
            db=pool,
            authorization=authorization,
            authenticators=Authenticators(ordered=frozen.authenticators),
            credential_formats=frozen.credential_formats,
            admission=AdmissionGates(pool, frozen.admission_gates),
            idempotency_keys=IdempotencyKeys(replay),
            request_audit=RequestAudit(pool, audit),
            observers=observers,
            streams=streams,
            telemetry=telemetry,
            tracer=make_tracer(config),
        )
        app = application(pipeline, frozen.routes, config)
        connections = Connections(config, pipeline, telemetry)
        listener = await stack.enter_async_context(accepting(app, connections, "127.0.0.1", 0))
        port = int(listener.sockets[0].getsockname()[1])
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Served(
            base=f"http://127.0.0.1:{port}",
            port=port,
            pipeline=pipeline,
            streams=streams,
            pool=pool,
            telemetry=telemetry,
            session=session,
            connections=connections,
        )


async def eventually(check: Callable[[], bool], within_s: float) -> None:
    """Wait until ``check`` holds; fail when it does not within ``within_s`` seconds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    while not check():
        if loop.time() > until:
            raise AssertionError(f"not so within {within_s} s")
        await asyncio.sleep(0.01)


def streamed(frames: AsyncIterator[StreamEvent], **said: Any) -> EventStream:
    """An event stream with a heartbeat far away, unless ``said`` otherwise."""
    return EventStream(frames=frames, **{"fields": {}, "heartbeat_s": 60.0, **said})


@attrs.frozen(kw_only=True)
class Sent:
    """One dispatched event, as the HTML standard's event stream interpretation gives it."""

    event: str
    data: str
    id: str

    @property
    def payload(self) -> Any:
        return json.loads(self.data)

    @property
    def type(self) -> str:
        return str(self.payload.get("type", self.event))


def interpret(stream: bytes) -> Iterator[Sent]:
    """The events of a whole stream, by the algorithm of the HTML standard (section 9.2.6)."""
    text = stream.decode("utf-8").removeprefix("\ufeff")
    event, data, last_id = "", "", ""
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if not line:
            if data:
                yield Sent(event=event or "message", data=data[:-1], id=last_id)
            event, data = "", ""
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event = value
        elif name == "data":
            data += value + "\n"
        elif name == "id" and "\0" not in value:
            last_id = value


__all__ = [
    "ABSTAIN", "ALLOW", "READ", "RoleGate", "Sent", "Served", "StepAdmit", "StepGate", "TokenIsIdentity",
    "eventually", "interpret", "public", "route", "serving", "streamed",
]  # fmt: skip
