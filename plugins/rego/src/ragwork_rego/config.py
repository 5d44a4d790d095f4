"""Settings of the plugin ``rego``."""

import attrs
from ragwork_hooks.settings import setting


@attrs.frozen(kw_only=True)
class RegoConfig:
    """How many processes decide, and what one policy may take."""

    workers: int = setting(
        "REGO_WORKERS",
        2,
        "Processes that evaluate one tenant's policies; one more for the others",
        ge=1,
        le=64,
    )
    cpu_ms: int = setting(
        "REGO_CPU_MS", 100, "Processor time that one policy may take, in milliseconds", ge=5, le=10_000
    )
    memory_mb: int = setting(
        "REGO_MEMORY_MB", 512, "Address space of one process, in megabytes", ge=128, le=65_536
    )
    timeout_s: float = setting(
        "REGO_TIMEOUT_S", 2.0, "Longest a decision may take, waiting included, in seconds", ge=0.1, le=60
    )
