"""Settings of the plugin ``rego``."""

import os

import attrs
from ragwork_hooks.settings import setting


@attrs.frozen(kw_only=True)
class RegoConfig:
    """How many processes decide, and what one policy may take."""

    workers: int = setting(
        "REGO_WORKERS",
        0,
        "Processes that evaluate one tenant's policies, and one more for the others; 0: two, on one or two cores one",
        ge=0,
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

    @property
    def processes(self) -> int:
        """How many one tenant may use. A core is left to the server: policies on all of them make everybody wait."""
        return self.workers or (2 if (os.cpu_count() or 1) > 2 else 1)
