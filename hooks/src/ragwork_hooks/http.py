"""Routes as declarations: the kernel decodes, decides, runs and encodes; a plugin only handles."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, Generic, Literal, Protocol, TypeAlias, TypeVar

import attrs

from ragwork_hooks.admission import AdmissionResult
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Headers, Principal
from ragwork_hooks.authz import Action, Decision, Resource
from ragwork_hooks.errors import Problem
from ragwork_hooks.storage import Transaction

B = TypeVar("B")
Q = TypeVar("Q")
T = TypeVar("T")
#: ``probe`` is never limited: liveness, readiness and metrics. ``identity``, for those who provision people,
#: is limited by address and counted on no quota.
RateClass: TypeAlias = Literal["probe", "public", "identity", "read", "mutation", "run", "ops"]
Recorder: TypeAlias = Callable[[Transaction], Awaitable[None]]
#: Units that a run costs, of quotas and of rate limits; every other request costs one.
RUN_COST: Final = 3
Features: TypeAlias = str | tuple[str, ...] | None


@attrs.frozen
class Empty:
    """The body or query class of a route that takes none."""


@attrs.frozen(kw_only=True)
class Upload:
    """A file of a multipart body, held in memory up to the route's limit. ``filename`` is the client's
    text: never a path. ``content_type`` is the part's header, lower case, without parameters.
    """

    filename: str
    content_type: str
    data: bytes


@attrs.frozen(kw_only=True)
class Request(Generic[B, Q]):
    """One decoded, authorized and admitted request."""

    #: The server's own id.
    request_id: str
    #: The id that clients see: theirs when it was well formed, else the same.
    echo_id: str
    #: The path's parameters.
    path: Mapping[str, str]
    #: The decoded query.
    query: Q
    #: The decoded body.
    body: B
    #: As they were sent.
    headers: Headers
    #: The client's address.
    peer: str
    #: This service as the caller addressed it: ``https://rag.example.org``.
    origin: str
    #: What the admission gates gave.
    admission: AdmissionResult
    #: In loop time.
    deadline: float
    #: ``None`` on a public route.
    caller: Principal | None
    #: ``None`` where the route declares none, or lets its handler open its own.
    transaction: Transaction | None
    #: What is acted on, where the route loads it.
    resource: Resource | None
    #: What the gates said of the resource.
    decision: Decision | None
    #: Writes the route's audit record in a transaction of the handler's own, for routes that declare it.
    record: Recorder | None = None

    @property
    def principal(self) -> Principal:
        """The caller of a route that is not public."""
        if self.caller is None:
            raise RuntimeError("a public route has no principal")
        return self.caller

    @property
    def tx(self) -> Transaction:
        """The request's transaction, for routes that declare ``transaction``."""
        if self.transaction is None:
            raise RuntimeError("this route declares no transaction")
        return self.transaction


@attrs.frozen(kw_only=True)
class Response:
    """An answer that needs more than its data. ``data`` is enveloped; ``None`` with 204 is no body.

    ``changed=False`` says that nothing was done, so nothing is audited. ``audit`` completes the route's
    audit record. An answer that shows a secret gives ``replay``, the data that a repeated request with
    the same idempotency key is shown instead: secrets are stored nowhere in clear.
    """

    data: object = None
    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)
    changed: bool = True
    audit: "AuditDetails | None" = None
    replay: object = None


@attrs.frozen(kw_only=True)
class File:
    """Bytes that are not enveloped."""

    data: bytes
    mime: str
    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Page(Generic[T]):
    """One page of a list."""

    #: What stands on this page.
    items: list[T]
    #: The ``offset`` of the next page; null on the last one.
    next_offset: int | None


@attrs.frozen(kw_only=True)
class StreamEvent:
    """One event of a stream, before the kernel numbers it. ``event`` is the SSE event name."""

    type: str
    data: Mapping[str, object]
    event: str = "message"


@attrs.frozen(kw_only=True)
class EventStream:
    """What a streaming handler returns.

    The kernel numbers the frames, adds ``fields`` to every payload, heartbeats when idle for
    ``heartbeat_s`` seconds, turns an exception of ``frames`` into one ``error`` frame, and ends with
    exactly one ``done``. It closes ``frames`` when the client has left, within 1 s.
    """

    frames: AsyncIterator[StreamEvent]
    fields: Mapping[str, object]
    heartbeat_s: float
    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class EventTypes:
    """The events of a stream, for the API's description: the class of each type's ``data``, and ``fields``, the
    class of what every payload carries beside the kernel's own. Events under a name of their own stand in ``named``.
    """

    fields: type
    data: Mapping[str, type]
    named: frozenset[str] = frozenset()


@attrs.frozen(kw_only=True)
class Scheme:
    """A way to authenticate other than the platform's bearer; ``fields`` are OpenAPI's of a security scheme."""

    name: str
    fields: Mapping[str, str]


@attrs.frozen(kw_only=True)
class Area:
    """The routes whose names start with ``name`` and a dot, as the API's description presents them.

    ``about`` says what they are for. ``rank`` orders areas, smallest first: below 20 what every client calls, below
    40 what belongs to one's own tenant, below 60 administration, then operation and protocols. ``path`` gives
    the meaning of each path parameter.
    """

    name: str
    about: str
    rank: int
    path: Mapping[str, str] = attrs.field(factory=dict)


class ErrorFormat(Protocol):
    """How a family of routes speaks where a standard of its own asks for more than the envelope: data bare, refusals
    as ``failure`` gives them. The route decides it, never what a client says that it accepts.
    """

    @property
    def media_type(self) -> str:
        """Of answers."""

    @property
    def body_types(self) -> tuple[str, ...]:
        """What a JSON body may be called; the first is what clients are told."""

    @property
    def failure_type(self) -> type:
        """The class that describes what ``failure`` gives as a body."""

    def failure(self, problem: Problem, request_id: str) -> tuple[int, object]:
        """Status and body of a refusal."""


ResourceLoader: TypeAlias = Callable[["Request[Any, Any]"], Awaitable[Resource]]
FeatureLoader: TypeAlias = Callable[["Request[Any, Any]"], Awaitable[Features]]


@attrs.frozen(kw_only=True)
class Route(Generic[B, Q]):
    """Everything the kernel must know of a route; what has no default must be said.

    A ``tenant_id`` in the path or query names the tenant that is acted on: the caller's own, or with
    platform scope any; the transaction, the replay and the audit record are bound to it.
    """

    #: ``area.verb``, with more areas between if need be; clients generated from the API's description call it
    #: ``area_verb``, so it never changes.
    name: str
    method: Literal["GET", "POST", "PATCH", "PUT", "DELETE"]
    #: Starts with ``/v1/``, or anywhere with an ``error_format``; parameters stand in braces.
    path: str
    #: What it does, for the API's description.
    summary: str
    handler: Callable[[Request[B, Q]], Awaitable[object]]
    #: Who may call it at all.
    scope: Literal["public", "tenant", "platform"]
    #: What it is to the gates; ``None`` only at scope ``public``.
    action: Action | None
    #: Which limits count it.
    rate_class: RateClass
    #: Whether it takes an ``Idempotency-Key``.
    idempotency: Literal["none", "accepted", "required"]
    #: Written in the route's write transaction; by the handler in its ``own``, or after it if none that took it was
    #: committed; else before the handler in a short one.
    audit_event: str | None
    #: What the tenant's plan must have.
    feature: Features | FeatureLoader
    #: Whether a lagging replica may answer.
    stale_reads: bool
    #: Opened for the handler, and committed before the reply leaves. ``own``: the handler opens one, as none may be
    #: held for as long as it works, and takes the record into it by ``Request.record``.
    transaction: Literal["none", "read", "write", "own"]
    #: The type under ``data``; ``None`` for no body or a stream.
    response: Any
    #: ``dict`` takes any JSON object as it is.
    body: type[B] = Empty  # type: ignore[assignment]  # the default of a type parameter needs 3.13
    #: ``dict`` takes any parameters.
    query: type[Q] = Empty  # type: ignore[assignment]
    #: How the body comes. Unknown fields of a ``form`` are dropped.
    body_kind: Literal["none", "json", "optional_json", "multipart", "form"] = "none"
    #: In bytes, instead of ``MAX_REQUEST_BYTES``.
    body_limit: int | None = None
    #: Loads what is acted on within the transaction. Raises ``Problem`` 404 when it does not exist.
    resource: ResourceLoader | None = None
    #: Of an answer that says no other.
    status: int = 200
    media_type: str = "application/json"
    #: Codes that it raises beside those of every route.
    errors: tuple[str, ...] = ()
    #: Whether the path is served without ``/v1``, too.
    legacy: bool = False
    #: The kill switch that stops it.
    switch: str | None = None
    #: How its refusals are written, where that is not the platform's way.
    error_format: ErrorFormat | None = None
    #: Describes a body that is taken as it is.
    body_shape: type | None = None
    #: Describes a stream.
    events: EventTypes | None = None
    #: Other ways to authenticate than the platform's.
    security: tuple[Scheme, ...] = ()


AnyRoute: TypeAlias = Route[Any, Any]
