"""Settings of the audit log."""

import attrs
from ragwork_hooks.settings import setting


@attrs.frozen(kw_only=True)
class AuditConfig:
    """``AUDIT_…``: how long records are kept, and where the log is anchored outside the database."""

    retention_days: int = setting(
        "AUDIT_RETENTION_DAYS", 90, "days after which prune_audit removes records", ge=1, le=36_500
    )
    anchor_dir: str | None = setting(
        "AUDIT_ANCHOR_DIR", None, "folder of the anchors; by default audit/ in the data directory"
    )
    retired_keys: str = setting(
        "AUDIT_RETIRED_PUBLIC_KEYS", "", "earlier verifier keys that verification still takes, by spaces"
    )
