"""Client addresses: which of them are one client, and which failed to authenticate too often."""

import math
from ipaddress import IPv6Address, ip_address, ip_network

from ragwork_hooks.admission import Admission, AdmissionRequest, Stage, Wire
from ragwork_hooks.authz import Deny
from ragwork_hooks.events import RequestSummary
from ragwork_hooks.http import AnyRoute
from ragwork_hooks.operations import Metrics
from ragwork_hooks.storage import BucketDraw

from ragwork_ratelimit import headers
from ragwork_ratelimit.buckets import LocalBuckets
from ragwork_ratelimit.limits import Limit, RateLimitPolicy

#: Who holds one IPv6 address holds the other 2^64 of its network, too.
_IPV6_CLIENT_BITS = 64
#: What a well-formed credential of a refused address is looked up within: for itself, for its address, in the process.
_LOOKUPS = (Limit(0.1, 1), Limit(1.0, 10), Limit(20.0, 100))


def client_of(peer: str) -> str:
    """The client behind an address: itself, of IPv6 its /64 network. What is no address stays as it is."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, _IPV6_CLIENT_BITS), strict=False))


class FailedAuthenticationGate:
    """Refuses an address that failed to authenticate too often, before its credential is looked up.

    Credentials that proved themselves in this process are not asked about: nobody shuts out his neighbours.
    One that did not, but is well-formed, draws from ``lookups``: a made-up checksum buys few guesses, and a real key
    needs one. Asking only looks at ``failures``; ``FailedAuthenticationCounter`` counts.
    All act on this process' memory: no I/O under a flood.
    """

    def __init__(self, failures: LocalBuckets, limit: Limit, lookups: LocalBuckets, metrics: Metrics) -> None:
        self.name = "ratelimit.address"
        self.stage: Stage = "address"
        self._failures = failures
        self._lookups = lookups
        self._policy = RateLimitPolicy("address-failures", "address", limit, 1)
        self._metrics = metrics

    async def admit(self, request: AdmissionRequest) -> Admission | Deny:
        """``Deny`` 429 with the time after which this address is listened to again. Probes always pass."""
        if request.rate_class == "probe":
            return Admission()
        client = client_of(request.peer)
        wait_s = self._failures.wait_s(self._policy.limit.bucket(client), 1)
        if not wait_s or self._may_be_looked_up(client, request.credential):
            return Admission()
        count_refusal(self._metrics, request.rate_class)
        policies = (self._policy,)
        told = {
            "RateLimit-Policy": headers.policy_field(policies),
            "RateLimit": f'"{self._policy.name}";r=0;t={max(1, math.ceil(wait_s))}',
        }
        draw = BucketDraw(wait_s=wait_s, short=0, remaining=(0.0,))
        return headers.refusal(self._policy, request.rate_class, draw, told)

    def _may_be_looked_up(self, client: str, credential: str | None) -> bool:
        if credential is None:
            return False
        names = (f"credential:{credential}", f"address:{client}", "process")
        buckets = [limit.bucket(name) for limit, name in zip(_LOOKUPS, names, strict=True)]
        return self._lookups.take(buckets, 1).short is None

    def wire(self, route: AnyRoute) -> Wire:
        """Headers on its refusals only: who never failed is told nothing."""
        if route.rate_class == "probe":
            return Wire()
        return Wire(
            codes=("RATE_LIMITED",), refusal_headers={**headers.MEANINGS_OF_REFUSAL, **headers.MEANINGS}
        )


class FailedAuthenticationCounter:
    """Observer: counts failed authentications by address."""

    def __init__(self, failures: LocalBuckets, limit: Limit) -> None:
        self.name = "ratelimit.failures"
        self._failures = failures
        self._limit = limit

    def finished(self, request: RequestSummary) -> None:
        """A request that ended with 401 draws a token of its address."""
        if request.status == 401:
            self._failures.owe(self._limit.bucket(client_of(request.peer)), 1)


def count_refusal(metrics: Metrics, route_class: str) -> None:
    """One more answer 429."""
    labels = {"class": route_class}
    metrics.count("rate_limited_total", "Requests refused by a rate limit", **labels)
