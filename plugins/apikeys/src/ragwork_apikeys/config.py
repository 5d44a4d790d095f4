"""Settings of API keys."""

import attrs
from ragwork_hooks.settings import header_name, setting


@attrs.frozen(kw_only=True)
class ApiKeysConfig:
    """``AUTH_…``: how callers prove who they are."""

    enabled: bool = setting("AUTH_ENABLED", True, "require credentials; false acts like AUTH_DEV_BYPASS")
    dev_bypass: bool = setting(
        "AUTH_DEV_BYPASS", False, "take X-Tenant-Id and X-Role from loopback callers without a token"
    )
    header: str = setting(
        "AUTH_API_KEY_HEADER", "Authorization", "the header that carries the token", form=header_name
    )
    cache_ttl_s: int = setting(
        "AUTH_CACHE_TTL_S", 15, "upper bound in seconds on a cached key; revocation never waits for it", ge=0
    )
    inactive_days: int = setting(
        "AUTH_API_KEY_INACTIVE_DAYS", 90, "days without use after which a key is inactive", ge=1, le=36_500
    )
    inactive_enforced: bool = setting("AUTH_API_KEY_INACTIVE_ENFORCED", True, "refuse inactive keys")
    max_active_keys: int = setting(
        "SELF_SERVE_MAX_ACTIVE_KEYS", 20, "usable keys that a tenant may have by its own doing", ge=0
    )
