"""The rate gate: one draw from the buckets of the credential and of its tenant, or from none."""

import math
from collections.abc import Mapping, Sequence

import attrs
from ragwork_hooks.admission import Admission, AdmissionRequest, Stage, Wire
from ragwork_hooks.audit import PLATFORM_TENANT
from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import Deny
from ragwork_hooks.errors import ProviderError, retry_after
from ragwork_hooks.http import AnyRoute
from ragwork_hooks.operations import Metrics
from ragwork_hooks.storage import Bucket, BucketDraw, SharedState

from ragwork_ratelimit import headers
from ragwork_ratelimit.buckets import LocalBuckets
from ragwork_ratelimit.config import RateLimitConfig
from ragwork_ratelimit.degradation_audit import DegradationAudit
from ragwork_ratelimit.failed_authentication import client_of, count_refusal
from ragwork_ratelimit.limits import RateLimitPolicy

#: What a class without limits of its own is held to.
STRICTEST = "run"


@attrs.frozen(kw_only=True)
class RequestBuckets:
    """What one request is held to: buckets and, in the same order, what they are called to clients."""

    scope: str
    policies: tuple[RateLimitPolicy, ...]
    buckets: tuple[Bucket, ...]
    cost: int
    policy_field: str


class RateGate:
    """Stage ``rate``. A refused request costs nothing in any bucket.

    While the shared state is away, every process limits for itself, in bounded memory and with the same
    limits, or refuses, as ``RL_FAIL_MODE`` says.
    """

    def __init__(
        self,
        config: RateLimitConfig,
        *,
        state: SharedState,
        local: LocalBuckets,
        degradation: DegradationAudit,
        metrics: Metrics,
    ) -> None:
        self.name = "ratelimit.buckets"
        self.stage: Stage = "rate"
        self._prefix = config.prefix
        self._fails_open = config.fail_mode == "open"
        self._classes = {name: _policies(name, config) for name in config.classes}
        self._public: tuple[RateLimitPolicy, ...] = (
            RateLimitPolicy("public-address", "address", config.address_public, 1),
        )
        self._fields = {p: headers.policy_field(p) for p in (*self._classes.values(), self._public)}
        self._state = state
        self._local = local
        self._degradation = degradation
        self._metrics = metrics

    async def admit(self, request: AdmissionRequest) -> Admission | Deny:
        """``Deny`` 429 RATE_LIMITED, or 503 RATE_LIMIT_UNAVAILABLE where an absent state closes the door."""
        if request.rate_class == "probe":
            return Admission()
        held = self._held(request)
        status: Mapping[str, str] = {}
        draw = _never(held)
        if draw is None:
            try:
                draw = await self._state.take(held.scope, held.buckets, held.cost)
            except ProviderError:
                self._degradation.happened()
                status = headers.DEGRADED
                if not self._fails_open:
                    return _unavailable()
                draw = self._draw_here(held)
        told = {
            "RateLimit-Policy": held.policy_field,
            "RateLimit": headers.limit_field(held.policies, draw.remaining),
            **status,
        }
        if draw.short is None:
            return Admission(headers=told)
        count_refusal(self._metrics, request.rate_class)
        return headers.refusal(held.policies[draw.short], request.rate_class, draw, told)

    def wire(self, route: AnyRoute) -> Wire:
        """A draw on every route that is limited at all."""
        if route.rate_class == "probe":
            return Wire()
        codes = ("RATE_LIMITED", "RATE_LIMIT_UNAVAILABLE")
        return Wire(codes=codes, headers=headers.MEANINGS, refusal_headers=headers.MEANINGS_OF_REFUSAL)

    def _held(self, request: AdmissionRequest) -> RequestBuckets:
        if request.principal is None or request.rate_class == "identity":
            policies, scope = self._public, PLATFORM_TENANT
            names = [f"public:address:{client_of(request.peer)}"]
        else:
            name = request.rate_class if request.rate_class in self._classes else STRICTEST
            policies, scope = self._classes[name], request.principal.tenant_id
            names = [f"{name}:key:{_who(request.principal)}", f"{name}:tenant"]
        return RequestBuckets(
            scope=scope,
            policies=policies,
            buckets=tuple(
                p.limit.bucket(f"{self._prefix}:{n}") for p, n in zip(policies, names, strict=True)
            ),
            cost=policies[0].cost,
            policy_field=self._fields[policies],
        )

    def _draw_here(self, held: RequestBuckets) -> BucketDraw:
        """The same draw from this process' own buckets, which know no scopes."""
        buckets = [attrs.evolve(bucket, key=f"{held.scope}:{bucket.key}") for bucket in held.buckets]
        return self._local.take(buckets, held.cost)


def _who(principal: Principal) -> str:
    """Whose bucket it is: a key's own, but of a session or a token, which anybody may get anew, the person's or
    agent's behind it.
    """
    if principal.kind == "api_key":
        return principal.credential_id
    return f"{principal.kind}:{principal.user_id}"


def _policies(name: str, config: RateLimitConfig) -> tuple[RateLimitPolicy, ...]:
    limits = config.classes[name]
    return (
        RateLimitPolicy(f"{name}-key", "api_key", limits.key, limits.cost),
        RateLimitPolicy(f"{name}-tenant", "tenant", limits.tenant, limits.cost),
    )


def _never(held: RequestBuckets) -> BucketDraw | None:
    """The refusal of a limit that is closed; then nothing is drawn anywhere."""
    for index, policy in enumerate(held.policies):
        if policy.limit.closed:
            return BucketDraw(wait_s=math.inf, short=index, remaining=_untouched(held.policies))
    return None


def _untouched(policies: Sequence[RateLimitPolicy]) -> tuple[float, ...]:
    return tuple(float(policy.limit.burst) for policy in policies)


def _unavailable() -> Deny:
    return Deny(
        "RATE_LIMIT_UNAVAILABLE",
        "the store of the rate limits does not answer",
        headers={**headers.DEGRADED, **retry_after(1)},
    )
