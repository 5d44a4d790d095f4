"""Settings of single sign-on."""

import attrs
from ragwork_hooks.settings import setting


@attrs.frozen(kw_only=True)
class SsoConfig:
    """``SSO_…``: who may log in where, and for how long."""

    enabled: bool = setting("SSO_ENABLED", True, "offer single sign-on; false also ends its sessions")
    base_url: str | None = setting(
        "SSO_BASE_URL",
        None,
        "where browsers reach this server (https://rag.example.com); needed in production, else the Host header",
    )
    allowed_redirect_hosts: tuple[str, ...] = setting(
        "SSO_ALLOWED_REDIRECT_HOSTS", (), "host or host:port that return_to may lead to; empty allows none"
    )
    state_ttl_s: int = setting(
        "SSO_STATE_TTL_SECONDS", 600, "seconds between start and callback", ge=30, le=3600
    )
    nonce_ttl_s: int = setting(
        "SSO_NONCE_TTL_SECONDS", 600, "seconds that a login's nonce lives", ge=30, le=3600
    )
    clock_skew_s: int = setting(
        "SSO_CLOCK_SKEW_SECONDS", 120, "seconds that a provider's clock may differ", ge=0, le=600
    )
    session_ttl_h: float = setting("SSO_SESSION_TTL_HOURS", 8, "hours that a session lasts", ge=0.001, le=720)
    public_discovery: bool = setting(
        "SSO_PUBLIC_DISCOVERY_ENABLED", False, "list a tenant's providers to anybody who names the tenant"
    )

    client_secret_names: tuple[str, ...] = setting(
        "SSO_CLIENT_SECRET_NAMES",
        (),
        "client secrets of other names and their tenants, as NAME=tenant; their value may be the secret alone",
    )

    @property
    def login_ttl_s(self) -> int:
        """How long a login may take: its state and its nonce must both be alive."""
        return min(self.state_ttl_s, self.nonce_ttl_s)
