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

__all__ = [
    "RUN_COST",
    "AnyRoute",
    "Area",
    "AuditDetails",
    "Empty",
    "ErrorFormat",
    "EventStream",
    "EventTypes",
    "File",
    "Page",
    "Problem",
    "Request",
    "Response",
    "Route",
    "Scheme",
    "StreamEvent",
    "Upload",
]

B = TypeVar("B")
Q = TypeVar("Q")
T = TypeVar("T")
#: ``probe`` is never limited: liveness, readiness and metrics. ``identity``, for those who provision people,
#: is limited by address and counted on no quota.
RateClass: TypeAlias = Literal["probe", "public", "identity", "read", "mutation", "run", "ops"]
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
    """One decoded, authorized and admitted request.

    ``request_id`` is the server's own id, ``echo_id`` the one clients see (theirs when it was well
    formed, else the same). ``path`` holds the path's parameters. ``origin`` is this service as the caller addressed
    it (``https://rag.example.org``). ``deadline`` is in loop time.
    """

    request_id: str
    echo_id: str
    path: Mapping[str, str]
    query: Q
    body: B
    headers: Headers
    peer: str
    origin: str
    admission: AdmissionResult
    deadline: float
    caller: Principal | None
    transaction: Transaction | None
    resource: Resource | None
    decision: Decision | None

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

    ``name`` is ``area.verb``, with more areas between if need be; clients generated from the API's description
    call it ``area_verb``, so it never changes. ``path`` starts with ``/v1/``, or anywhere with a ``error_format``,
    and names parameters in braces. ``action`` is ``None`` only at scope ``public``. ``transaction`` opens one for
    the handler, committed before the reply leaves. ``resource`` loads what is acted on inside that transaction and
    raises ``Problem`` 404 when it does not exist. ``stale_reads`` allows a lagging replica. ``response`` is the
    type under ``data`` (``None`` for no body or a stream). ``body_limit`` in bytes overrides
    ``MAX_REQUEST_BYTES``. ``body=dict`` takes any JSON object as it is, ``query=dict`` any parameters;
    unknown fields of a ``form`` are dropped. ``body_shape`` describes a body that is taken as it is, ``events`` a
    stream; ``security`` names other ways to authenticate than the platform's. ``legacy`` also serves the path
    without ``/v1``. ``switch`` names the kill switch that stops it.

    A ``tenant_id`` in the path or query names the tenant that is acted on: the caller's own, or with
    platform scope any; the transaction, the replay and the audit record are bound to it. ``audit_event``
    is written in the route's write transaction, else before the handler in a short one.
    """

    name: str
    method: Literal["GET", "POST", "PATCH", "PUT", "DELETE"]
    path: str
    summary: str
    handler: Callable[[Request[B, Q]], Awaitable[object]]
    scope: Literal["public", "tenant", "platform"]
    action: Action | None
    rate_class: RateClass
    idempotency: Literal["none", "accepted", "required"]
    audit_event: str | None
    feature: Features | FeatureLoader
    stale_reads: bool
    transaction: Literal["none", "read", "write"]
    response: Any
    body: type[B] = Empty  # type: ignore[assignment]  # the default of a type parameter needs 3.13
    query: type[Q] = Empty  # type: ignore[assignment]
    body_kind: Literal["none", "json", "optional_json", "multipart", "form"] = "none"
    body_limit: int | None = None
    resource: ResourceLoader | None = None
    status: int = 200
    media_type: str = "application/json"
    errors: tuple[str, ...] = ()
    legacy: bool = False
    switch: str | None = None
    error_format: ErrorFormat | None = None
    body_shape: type | None = None
    events: EventTypes | None = None
    security: tuple[Scheme, ...] = ()


AnyRoute: TypeAlias = Route[Any, Any]
