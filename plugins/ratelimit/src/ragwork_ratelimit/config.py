"""Settings of the plugin ``ratelimit``."""

from collections.abc import Mapping
from typing import Any

import attrs
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.http import RUN_COST
from ragwork_hooks.settings import SETTING, setting

from ragwork_ratelimit.limits import ClassLimits, Limit

_SLOWEST, _FASTEST, _LARGEST = 1e-6, 1e6, 1_000_000


def _rps(env: str, default: float, whose: str) -> Any:
    return setting(env, default, f"tokens a second that come back, {whose}; 0 closes", ge=0, le=_FASTEST)


def _burst(env: str, default: int, whose: str) -> Any:
    return setting(env, default, f"tokens that can be drawn at once, {whose}; 0 closes", ge=0, le=_LARGEST)


@attrs.frozen(kw_only=True)
class RateLimitConfig:
    """Rates in tokens a second, bursts in tokens. ``ConfigError`` for a limit that no request could pass."""

    enabled: bool = setting("RATE_LIMIT_ENABLED", True, "limiter on or off")
    fail_mode: str = setting(
        "RL_FAIL_MODE",
        "open",
        "while the shared state is away: open limits in each process, closed answers 503",
        choices=("open", "closed"),
    )
    key_run_rps: float = _rps("RL_KEY_RUN_RPS", 1.0, "runs of a key")
    key_run_burst: int = _burst("RL_KEY_RUN_BURST", 5, "runs of a key")
    tenant_run_rps: float = _rps("RL_TENANT_RUN_RPS", 3.0, "runs of a tenant")
    tenant_run_burst: int = _burst("RL_TENANT_RUN_BURST", 15, "runs of a tenant")
    key_mutation_rps: float = _rps("RL_KEY_MUTATION_RPS", 2.0, "changes by a key")
    key_mutation_burst: int = _burst("RL_KEY_MUTATION_BURST", 10, "changes by a key")
    tenant_mutation_rps: float = _rps("RL_TENANT_MUTATION_RPS", 5.0, "changes by a tenant")
    tenant_mutation_burst: int = _burst("RL_TENANT_MUTATION_BURST", 25, "changes by a tenant")
    key_read_rps: float = _rps("RL_KEY_READ_RPS", 5.0, "reads of a key")
    key_read_burst: int = _burst("RL_KEY_READ_BURST", 20, "reads of a key")
    tenant_read_rps: float = _rps("RL_TENANT_READ_RPS", 15.0, "reads of a tenant")
    tenant_read_burst: int = _burst("RL_TENANT_READ_BURST", 60, "reads of a tenant")
    key_ops_rps: float = _rps("RL_KEY_OPS_RPS", 2.0, "operations of a key")
    key_ops_burst: int = _burst("RL_KEY_OPS_BURST", 10, "operations of a key")
    tenant_ops_rps: float = _rps("RL_TENANT_OPS_RPS", 4.0, "operations of a tenant")
    tenant_ops_burst: int = _burst("RL_TENANT_OPS_BURST", 20, "operations of a tenant")
    address_public_rps: float = _rps("RL_ADDRESS_PUBLIC_RPS", 20.0, "public routes from an address")
    address_public_burst: int = _burst("RL_ADDRESS_PUBLIC_BURST", 100, "public routes from an address")
    address_failures_rps: float = setting(
        "RL_ADDRESS_FAILURES_RPS",
        5.0,
        "failed authentications a second that an address is forgiven",
        ge=_SLOWEST,
        le=_FASTEST,
    )
    address_failures_burst: int = setting(
        "RL_ADDRESS_FAILURES_BURST",
        100,
        "failed authentications at once after which an address is refused before it is authenticated",
        ge=1,
        le=_LARGEST,
    )
    prefix: str = setting("RL_REDIS_PREFIX", "ragwork:rl", "namespace of the buckets in the shared state")

    def __attrs_post_init__(self) -> None:
        for field in attrs.fields(RateLimitConfig):
            rate = getattr(self, field.name)
            if field.name.endswith("_rps") and 0 < rate < _SLOWEST:
                raise ConfigError(
                    _env(field), f"{rate!r} never gives a token back", f"set it to {_SLOWEST:g} or more, or 0"
                )
        for scope, limit in (("KEY", self.classes["run"].key), ("TENANT", self.classes["run"].tenant)):
            if not limit.closed and limit.burst < RUN_COST:
                raise ConfigError(
                    f"RL_{scope}_RUN_BURST",
                    f"{limit.burst} is below the {RUN_COST} tokens of a run, so none could pass",
                    f"set it to {RUN_COST} or more, or to 0 to refuse runs",
                )

    @property
    def classes(self) -> Mapping[str, ClassLimits]:
        """The limits of each route class with buckets of its own."""
        return {
            "run": ClassLimits(
                key=Limit(self.key_run_rps, self.key_run_burst),
                tenant=Limit(self.tenant_run_rps, self.tenant_run_burst),
                cost=RUN_COST,
            ),
            "mutation": ClassLimits(
                key=Limit(self.key_mutation_rps, self.key_mutation_burst),
                tenant=Limit(self.tenant_mutation_rps, self.tenant_mutation_burst),
            ),
            "read": ClassLimits(
                key=Limit(self.key_read_rps, self.key_read_burst),
                tenant=Limit(self.tenant_read_rps, self.tenant_read_burst),
            ),
            "ops": ClassLimits(
                key=Limit(self.key_ops_rps, self.key_ops_burst),
                tenant=Limit(self.tenant_ops_rps, self.tenant_ops_burst),
            ),
        }

    @property
    def address_public(self) -> Limit:
        """Public routes, per client address."""
        return Limit(self.address_public_rps, self.address_public_burst)

    @property
    def address_failures(self) -> Limit:
        """Failed authentications, per client address."""
        return Limit(self.address_failures_rps, self.address_failures_burst)


def _env(field: "attrs.Attribute[object]") -> str:
    return str(field.metadata[SETTING].env)
