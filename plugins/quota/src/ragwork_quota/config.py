"""Settings of quotas."""

import attrs
from ragwork_hooks.settings import setting


@attrs.frozen(kw_only=True)
class QuotaConfig:
    """``USAGE_…``: how long usage is kept."""

    retention_days: int = setting(
        "USAGE_COUNTER_RETENTION_DAYS",
        120,
        "days after the end of a period until `prune_usage` deletes its counters",
        ge=0,
        le=36_500,
    )
