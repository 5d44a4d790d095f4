"""Settings of the operators' routes."""

import attrs
from ragwork_hooks.settings import setting


@attrs.frozen(kw_only=True)
class OpsConfig:
    """Section ``[ops]``."""

    availability_target: float = setting(
        "SLO_AVAILABILITY_TARGET",
        99.9,
        "share of requests without a server error, in percent",
        ge=0,
        le=99.999,
    )
    p95_run_ms: float = setting("SLO_P95_RUN_MS", 3000.0, "objective for runs, in milliseconds", ge=1)
    p95_api_ms: float = setting(
        "SLO_P95_API_MS", 800.0, "objective for other requests, in milliseconds", ge=1
    )
    heartbeat_stale_after_s: float = setting(
        "WORKER_HEARTBEAT_STALE_AFTER_S", 60.0, "a worker silent for longer is missing, in seconds", ge=1
    )
