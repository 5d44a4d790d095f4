"""What clients are told of their limits: the README's headers and those of the IETF draft.

``RateLimit-Policy`` and ``RateLimit`` follow draft-ietf-httpapi-ratelimit-headers (lists of structured
field strings with integer parameters). Their unit is requests, so a class that costs more than one token
is told in requests, too: what a client reads is what it may do.
"""

import math
from collections.abc import Mapping, Sequence

from ragwork_hooks.authz import Deny
from ragwork_hooks.errors import retry_after
from ragwork_hooks.storage import BucketDraw

from ragwork_ratelimit.limits import RateLimitPolicy

DEGRADED: Mapping[str, str] = {"X-RateLimit-Status": "degraded"}
#: What the headers mean, for the API's description.
MEANINGS: Mapping[str, str] = {
    "RateLimit-Policy": "The limits: `q` requests in any `w` seconds always pass.",
    "RateLimit": "What is left: `r` requests may follow at once, one more in `t` seconds.",
    "X-RateLimit-Status": "`degraded` while each process limits for itself; else absent.",
}
MEANINGS_OF_REFUSAL: Mapping[str, str] = {
    "X-RateLimit-Scope": "Whose limit was reached: `api_key`, `tenant` or `address`.",
    "X-RateLimit-Route-Class": "The class of routes that it limits.",
    "X-RateLimit-Retry-After-Ms": "Milliseconds to wait.",
}
#: Remaining tokens are sums of fractions; what lacks less than this of a request counts as one.
_SLACK = 1e-6


def policy_field(policies: Sequence[RateLimitPolicy]) -> str:
    """The value of ``RateLimit-Policy``: ``q`` requests in any ``w`` seconds always pass, if spaced alike."""
    return ", ".join(_policy_item(policy) for policy in policies)


def limit_field(policies: Sequence[RateLimitPolicy], remaining: Sequence[float]) -> str:
    """The value of ``RateLimit``: ``r`` requests may follow at once, one more of them in ``t`` seconds."""
    return ", ".join(_limit_item(p, left) for p, left in zip(policies, remaining, strict=True))


def refusal(policy: RateLimitPolicy, route_class: str, draw: BucketDraw, headers: Mapping[str, str]) -> Deny:
    """The 429 of the contract. A bucket that never gives names no time to come back."""
    wait_ms = None if math.isinf(draw.wait_s) else max(1, math.ceil(draw.wait_s * 1000))
    own = {"X-RateLimit-Scope": policy.scope, "X-RateLimit-Route-Class": route_class}
    if wait_ms is not None:
        own |= retry_after(math.ceil(wait_ms / 1000))
        own["X-RateLimit-Retry-After-Ms"] = str(wait_ms)
    return Deny(
        "RATE_LIMITED",
        "Rate limit exceeded",
        {"scope": policy.scope, "route_class": route_class, "retry_after_ms": wait_ms},
        {**headers, **own},
        audit_event="security.rate_limited",
    )


def _policy_item(policy: RateLimitPolicy) -> str:
    limit = policy.limit
    if limit.closed:
        return f'"{policy.name}";q=0'
    requests = limit.burst // policy.cost
    window_s = max(1, math.ceil(requests * policy.cost / limit.rate - _SLACK))
    return f'"{policy.name}";q={requests};w={window_s}'


def _limit_item(policy: RateLimitPolicy, tokens: float) -> str:
    limit = policy.limit
    if limit.closed:
        return f'"{policy.name}";r=0'
    requests = math.floor(tokens / policy.cost + _SLACK)
    wanted = (requests + 1) * policy.cost
    if wanted > limit.burst:
        return f'"{policy.name}";r={requests}'
    return f'"{policy.name}";r={requests};t={max(1, math.ceil((wanted - tokens) / limit.rate))}'
