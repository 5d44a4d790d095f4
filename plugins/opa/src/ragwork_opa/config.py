"""Settings of the plugin ``opa``."""

import attrs
from ragwork_hooks.settings import header_value, http_url, setting


@attrs.frozen(kw_only=True)
class OpaConfig:
    """Where the Open Policy Agent is, and how long it may take."""

    url: str = setting(
        "OPA_URL", "http://127.0.0.1:8181", "Root of the Open Policy Agent's REST API", form=http_url
    )
    token: str | None = setting("OPA_TOKEN", None, "Bearer token for it", secret=True, form=header_value)
    timeout_s: float = setting("OPA_TIMEOUT_S", 2.0, "Longest one call may take, in seconds", ge=0.05, le=60)
    modules: int = setting(
        "OPA_MODULES", 1000, "Policies that one process keeps in the agent", ge=10, le=100_000
    )
