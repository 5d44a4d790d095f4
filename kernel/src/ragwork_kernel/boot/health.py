"""The state of what this process depends on, probed in the background and read without waiting."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

import attrs
from ragwork_hooks.operations import HealthCheck

from ragwork_kernel.base.resilient_loops import cancelled
from ragwork_kernel.base.telemetry import Telemetry

log = logging.getLogger(__name__)
PROBE_EVERY_S = 1.0
PROBE_TIMEOUT_S = 2.0
DATABASE = "postgres"


@attrs.frozen(kw_only=True)
class HealthResponse:
    """``status`` is ok, degraded or draining; ``warming`` names what still loads in the background. ``off`` has what
    nobody configured, and what to set to have it: that degrades nothing.
    """

    #: `ok`, `degraded` while something it depends on is away, or `draining` while it stops. Example: "ok"
    status: str
    #: What it depends on, each `ok` or `down`. Example: {"postgres": "ok"}
    dependencies: dict[str, str]
    #: What still loads in the background. Example: ["embedder"]
    warming: list[str]
    #: Plugins that could not start, with the reason. Example: {}
    inactive_plugins: dict[str, str]
    #: Features that nobody configured, with what switches each on. Example: {}
    off: dict[str, str]


class Health:
    """Knows which dependencies answered last."""

    def __init__(self, telemetry: Telemetry, inactive: Mapping[str, str], off: Mapping[str, str]) -> None:
        self._telemetry = telemetry
        self._off = off
        self._inactive = inactive
        self._up: dict[str, bool] = {}
        self.warming: set[str] = set()
        self.draining = False

    @property
    def ready(self) -> bool:
        return self._up.get(DATABASE, False) and not self.draining

    def report(self) -> HealthResponse:
        status = "ok" if all(self._up.values()) and not self._inactive else "degraded"
        return HealthResponse(
            status="draining" if self.draining else status,
            dependencies={name: "ok" if up else "down" for name, up in self._up.items()},
            warming=sorted(self.warming),
            inactive_plugins=dict(self._inactive),
            off=dict(self._off),
        )

    async def watch(self, probes: Sequence[HealthCheck]) -> None:
        """Probe everything again and again; runs until cancelled."""
        while not cancelled():
            await self.probe(probes)
            await asyncio.sleep(PROBE_EVERY_S)

    async def probe(self, probes: Sequence[HealthCheck]) -> None:
        """HealthCheck everything once."""
        await asyncio.gather(*(self._probe(probe) for probe in probes))

    async def _probe(self, probe: HealthCheck) -> None:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await probe.check()
            up = True
        except Exception as error:
            up = False
            if self._up.get(probe.component, True):
                log.warning("dependency %s is down: %s", probe.component, error)
        self._up[probe.component] = up
        self._telemetry.dependency(probe.component, up)
