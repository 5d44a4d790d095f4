"""Plugin ``ratelimit``: token buckets per credential, tenant and client address."""

from functools import partial
from typing import Final

from ragwork_hooks.audit import AuditLog
from ragwork_hooks.jobs import PeriodicTask
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_ratelimit.buckets import LocalBuckets
from ragwork_ratelimit.config import RateLimitConfig
from ragwork_ratelimit.degradation_audit import LOOK_EVERY_S, DegradationAudit
from ragwork_ratelimit.failed_authentication import FailedAuthenticationCounter, FailedAuthenticationGate
from ragwork_ratelimit.gate import RateGate

#: Buckets and addresses that one process remembers at most: a few megabytes.
_REMEMBERED: Final = 20_000


class RateLimitPlugin:
    """The plugin's hook implementations."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        """See ``PluginSpec``. Critical: a door without its limiter must not open."""
        return PluginInfo(
            name="ratelimit",
            summary="Rate limits per credential, tenant and client address",
            optional=(AuditLog,),
            critical=True,
            config=RateLimitConfig,
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[RateLimitConfig]) -> Contribution:
        """See ``PluginSpec``."""
        services, config = context.services, context.config
        if not config.enabled:
            return Contribution()
        clock, metrics = services.clock.monotonic, services.metrics
        failures = LocalBuckets(clock, _REMEMBERED)
        lookups = LocalBuckets(clock, _REMEMBERED)
        degradation = DegradationAudit(config.fail_mode, metrics, clock)
        buckets = RateGate(
            config,
            state=services.state,
            local=LocalBuckets(clock, _REMEMBERED),
            degradation=degradation,
            metrics=metrics,
        )
        return Contribution(
            admission_gates=(
                FailedAuthenticationGate(failures, config.address_failures, lookups, metrics),
                buckets,
            ),
            observers=(FailedAuthenticationCounter(failures, config.address_failures),),
            tickers=(
                PeriodicTask(
                    name="ratelimit.degraded",
                    every_s=LOOK_EVERY_S,
                    run=partial(degradation.record, services),
                ),
            ),
        )


plugin = RateLimitPlugin()
