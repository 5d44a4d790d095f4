"""Settings of SCIM."""

import attrs
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.settings import setting


@attrs.frozen(kw_only=True)
class ScimConfig:
    """``SCIM_…``: provisioning by an identity provider."""

    enabled: bool = setting("SCIM_ENABLED", True, "serve SCIM and its tokens")
    token_ttl_days: int = setting("SCIM_TOKEN_TTL_DAYS", 365, "lifetime of a token in days", ge=1, le=36_500)
    default_page_size: int = setting(
        "SCIM_DEFAULT_PAGE_SIZE", 50, "resources on a page when the client names no count", ge=1, le=1_000
    )
    max_page_size: int = setting(
        "SCIM_MAX_PAGE_SIZE", 200, "most resources on a page, whatever the client asks for", ge=1, le=1_000
    )

    def __attrs_post_init__(self) -> None:
        if self.default_page_size > self.max_page_size:
            raise ConfigError(
                "SCIM_DEFAULT_PAGE_SIZE",
                f"{self.default_page_size} is above SCIM_MAX_PAGE_SIZE={self.max_page_size}",
                "lower it, or raise SCIM_MAX_PAGE_SIZE",
            )
