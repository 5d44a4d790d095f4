"""What a limit is: how fast tokens come back, how many there can be, and what a request costs."""

import attrs
from ragwork_hooks.storage import Bucket


@attrs.frozen
class Limit:
    """A token bucket's size: ``rate`` tokens a second, ``burst`` at most. Either at 0 closes it."""

    rate: float
    burst: int

    @property
    def closed(self) -> bool:
        return self.rate <= 0 or self.burst <= 0

    def bucket(self, key: str) -> Bucket:
        """This limit on what is called ``key``."""
        return Bucket(key=key, rate=self.rate, burst=float(self.burst))


@attrs.frozen(kw_only=True)
class ClassLimits:
    """What requests of one class are held to; each costs ``cost`` tokens of both buckets."""

    key: Limit
    tenant: Limit
    cost: int = 1


@attrs.frozen
class RateLimitPolicy:
    """A limit as it is told to clients: ``name`` as in the ``RateLimit-Policy`` header, ``scope`` as in 429."""

    name: str
    scope: str
    limit: Limit
    cost: int
