"""Is there room for this: gates that limit, warn, degrade and reserve, and the result they add up to."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

import attrs

from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import Deny
from ragwork_hooks.notification import Notification
from ragwork_hooks.storage import Transaction

if TYPE_CHECKING:
    from ragwork_hooks.http import AnyRoute

#: ``address`` is asked before authentication, without a principal and only about credentials that have not proved
#: themselves in this process; the others in this order after it.
#: A gate of ``capacity`` may wait for a place: nothing is held open meanwhile.
Stage: TypeAlias = Literal["address", "switch", "rate", "entitlement", "capacity", "quota", "sla", "cost"]
OpenTransaction: TypeAlias = Callable[[], Awaitable[Transaction]]


@attrs.frozen(kw_only=True)
class ServiceLimits:
    """What a run must do without; ``None`` leaves a value alone. Merged, the most restrictive wins."""

    audio: bool = True
    top_k: int | None = None
    max_output_tokens: int | None = None
    providers: tuple[str, ...] = ()


#: Without a limit: what nearly every gate says.
UNLIMITED: Final = ServiceLimits()


@attrs.frozen(kw_only=True)
class Reservation:
    """Something reserved for this request.

    The kernel calls ``settle`` once after the work with whether it ``started`` (the handler returned, so a
    later failure still costs the reserve), in a task that drain awaits. One that was ``written`` through
    ``AdmissionRequest.open`` is undone by that transaction's rollback: then it is not called.
    """

    settle: Callable[[bool], Coroutine[Any, Any, None]]
    written: bool = False


@attrs.frozen(kw_only=True)
class Admission:
    """One gate's yes."""

    headers: Mapping[str, str] = attrs.field(factory=dict)
    notices: tuple[Notification, ...] = ()
    degrade: ServiceLimits = UNLIMITED
    reservation: Reservation | None = None


@attrs.frozen(kw_only=True)
class AdmissionRequest:
    """What an admission gate is told: route facts, never the body.

    ``credential`` is set at stage ``address`` only, where a well-formed credential is sent: it stands for that
    credential and tells nothing of it. ``feature`` is set at stage ``entitlement`` only, one question per key.
    ``open`` gives the write transaction of stages ``quota``, ``sla`` and ``cost``: the request's own when it is bound
    to the caller's tenant, else a short one that all gates share. It begins with the first call. With ``free`` the
    request costs nothing, being an operator's or a repeat: give headers, charge nothing.
    """

    principal: Principal | None
    peer: str
    route: str
    rate_class: str
    switch: str | None
    feature: str | None
    request_id: str
    open: OpenTransaction
    free: bool = False
    credential: str | None = None


@attrs.frozen(kw_only=True)
class Wire:
    """What a gate may say to clients: the codes it refuses with, and headers by name with their meaning, on every
    answer after it or on its refusals alone.
    """

    codes: tuple[str, ...] = ()
    headers: Mapping[str, str] = attrs.field(factory=dict)
    refusal_headers: Mapping[str, str] = attrs.field(factory=dict)


class AdmissionGate(Protocol):
    """Gate of admission; stages are asked in the order of ``Stage``."""

    name: str
    stage: Stage

    async def admit(self, request: AdmissionRequest) -> Admission | Deny:
        """``Deny`` carries the code (``RATE_LIMITED`` …). A gate that raises denies."""

    def wire(self, route: "AnyRoute") -> Wire:
        """What it may say on ``route``, for the API's description."""


@attrs.frozen(kw_only=True)
class AdmissionResult:
    """All admissions of one request, merged."""

    headers: Mapping[str, str] = attrs.field(factory=dict)
    notices: tuple[Notification, ...] = ()
    degrade: ServiceLimits = UNLIMITED
    reservations: tuple[Reservation, ...] = ()

    def plus(self, more: Admission) -> "AdmissionResult":
        """This grant and one more admission."""
        return AdmissionResult(
            headers={**self.headers, **more.headers} if more.headers else self.headers,
            notices=(*self.notices, *more.notices),
            degrade=self.degrade if more.degrade is UNLIMITED else _stricter(self.degrade, more.degrade),
            reservations=self.reservations
            if more.reservation is None
            else (*self.reservations, more.reservation),
        )


def _stricter(a: ServiceLimits, b: ServiceLimits) -> ServiceLimits:
    common = tuple(p for p in a.providers if p in b.providers)
    return ServiceLimits(
        audio=a.audio and b.audio,
        top_k=_least(a.top_k, b.top_k),
        max_output_tokens=_least(a.max_output_tokens, b.max_output_tokens),
        providers=common if a.providers and b.providers else a.providers or b.providers,
    )


def _least(a: int | None, b: int | None) -> int | None:
    return min((v for v in (a, b) if v is not None), default=None)
