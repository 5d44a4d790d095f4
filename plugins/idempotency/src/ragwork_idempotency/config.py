"""Settings of idempotency keys."""

import attrs
from ragwork_hooks.settings import setting


@attrs.frozen(kw_only=True)
class IdempotencyConfig:
    """Section ``[idempotency]``."""

    enabled: bool = setting("IDEMPOTENCY_ENABLED", True, "honour Idempotency-Key on write routes")
    ttl_hours: int = setting(
        "IDEMPOTENCY_TTL_HOURS", 24, "how long an answer is replayed, in hours", ge=1, le=8760
    )
