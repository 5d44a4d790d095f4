"""Routes in the usual forms. A factory's name fixes scope, transaction and rate class; what decides who may do what,
and what is recorded of it, has no default. Any other combination is a ``Route`` with every field said.

Users: every plugin with routes, as abac, agents, audit and documents.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Literal, NotRequired, TypedDict, TypeVar, Unpack

from ragwork_hooks.authz import Action
from ragwork_hooks.http import (
    ErrorFormat,
    FeatureLoader,
    Features,
    RateClass,
    Request,
    ResourceLoader,
    Route,
    Scheme,
)

B = TypeVar("B")
Q = TypeVar("Q")


class Declaration(TypedDict, Generic[B, Q]):
    """What any route says, or may say; the fields mean what they mean in ``Route``."""

    name: str
    path: str
    summary: str
    handler: Callable[[Request[B, Q]], Awaitable[object]]
    response: Any
    query: NotRequired[type[Q]]
    feature: NotRequired[Features | FeatureLoader]
    errors: NotRequired[tuple[str, ...]]
    status: NotRequired[int]
    media_type: NotRequired[str]
    error_format: NotRequired[ErrorFormat]
    security: NotRequired[tuple[Scheme, ...]]
    switch: NotRequired[str]
    legacy: NotRequired[bool]


class ReadDeclaration(Declaration[B, Q]):
    """A GET may have an ``audit_event``, too; it does not write."""

    action: Action
    audit_event: NotRequired[str | None]
    stale_reads: NotRequired[bool]
    resource: NotRequired[ResourceLoader]


class OpsDeclaration(ReadDeclaration[B, Q]):
    """``transaction`` is ``none`` for a handler that answers while the database is away."""

    transaction: Literal["none", "read"]


class BodyDeclaration(Declaration[B, Q]):
    """``body_kind`` is ``json`` if there is a ``body``, unless said otherwise."""

    body: NotRequired[type[B]]
    body_kind: NotRequired[Literal["none", "json", "optional_json", "multipart", "form"]]
    body_limit: NotRequired[int]
    body_shape: NotRequired[type]


class PublicDeclaration(BodyDeclaration[B, Q]):
    """No action: anybody may call it, or its handler authenticates for itself."""

    method: Literal["GET", "POST"]


class UntransactedDeclaration(BodyDeclaration[B, Q]):
    """``audit_event`` is the record of a call that changes something elsewhere, or ``None``."""

    method: Literal["GET", "POST"]
    action: Action
    rate_class: Literal["read", "mutation"]
    audit_event: str | None


class WriteDeclaration(BodyDeclaration[B, Q]):
    """Who may change it, what is recorded of the change, and what its repetition does."""

    method: Literal["POST", "PATCH", "PUT", "DELETE"]
    action: Action
    audit_event: str
    idempotency: Literal["none", "accepted", "required"]
    resource: NotRequired[ResourceLoader]


def read_route(**said: Unpack[ReadDeclaration[B, Q]]) -> Route[B, Q]:
    """A GET within the caller's tenant, in a read transaction."""
    return _read(said, scope="tenant", rate_class="read")


def write_route(**said: Unpack[WriteDeclaration[B, Q]]) -> Route[B, Q]:
    """A change within the caller's tenant, in one transaction with its audit record."""
    return _write(said, scope="tenant", rate_class="mutation")


def identity_read_route(**said: Unpack[ReadDeclaration[B, Q]]) -> Route[B, Q]:
    """``read_route`` for those who provision people: limited by address, counted on no quota."""
    return _read(said, scope="tenant", rate_class="identity")


def identity_write_route(**said: Unpack[WriteDeclaration[B, Q]]) -> Route[B, Q]:
    """``write_route`` for those who provision people: limited by address, counted on no quota."""
    return _write(said, scope="tenant", rate_class="identity")


def ops_route(**said: Unpack[OpsDeclaration[B, Q]]) -> Route[B, Q]:
    """A GET within the caller's tenant that shows how the service does, and what it did."""
    _complete_read(said)
    return Route(method="GET", scope="tenant", rate_class="ops", idempotency="none", **said)


def untransacted_route(**said: Unpack[UntransactedDeclaration[B, Q]]) -> Route[B, Q]:
    """A route within the caller's tenant whose handler opens the transactions it needs: it waits for somebody else, or
    only the request says whose rows are read.
    """
    _complete_body(said)
    return Route(scope="tenant", transaction="none", idempotency="none", stale_reads=False, **said)


def platform_read_route(**said: Unpack[ReadDeclaration[B, Q]]) -> Route[B, Q]:
    """A GET by the platform's operator, whose ``action`` has ``platform=True``."""
    return _read(said, scope="platform", rate_class="read")


def platform_write_route(**said: Unpack[WriteDeclaration[B, Q]]) -> Route[B, Q]:
    """A change by the platform's operator, whose ``action`` has ``platform=True``, with its audit record."""
    return _write(said, scope="platform", rate_class="mutation")


def public_route(**said: Unpack[PublicDeclaration[B, Q]]) -> Route[B, Q]:
    """A route without a caller, a transaction and a record, except what its handler sees to for itself."""
    _complete_body(said)
    return Route(
        scope="public",
        action=None,
        rate_class="public",
        transaction="none",
        idempotency="none",
        audit_event=None,
        stale_reads=False,
        **said,
    )


def _read(
    said: ReadDeclaration[B, Q], *, scope: Literal["tenant", "platform"], rate_class: RateClass
) -> Route[B, Q]:
    _complete_read(said)
    return Route(
        method="GET", scope=scope, rate_class=rate_class, transaction="read", idempotency="none", **said
    )


def _write(
    said: WriteDeclaration[B, Q], *, scope: Literal["tenant", "platform"], rate_class: RateClass
) -> Route[B, Q]:
    _complete_body(said)
    return Route(scope=scope, rate_class=rate_class, transaction="write", stale_reads=False, **said)


def _complete_read(said: ReadDeclaration[B, Q]) -> None:
    said.setdefault("feature", None)
    said.setdefault("audit_event", None)
    said.setdefault("stale_reads", False)


def _complete_body(said: BodyDeclaration[B, Q]) -> None:
    said.setdefault("feature", None)
    said.setdefault("body_kind", "json" if "body" in said else "none")
