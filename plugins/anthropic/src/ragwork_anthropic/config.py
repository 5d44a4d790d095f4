"""Settings of the plugin ``anthropic``."""

import attrs
from ragwork_hooks.settings import header_value, http_url, setting


@attrs.frozen(kw_only=True)
class AnthropicConfig:
    """Where the service is, who we are to it, and what we ask of it."""

    api_key: str | None = setting("ANTHROPIC_API_KEY", None, "Credential", secret=True, form=header_value)
    base_url: str = setting(
        "ANTHROPIC_BASE_URL", "https://api.anthropic.com", "Root of the service", form=http_url
    )
    timeout_s: float = setting(
        "ANTHROPIC_TIMEOUT_S", 60.0, "Longest silence of the service, in seconds", ge=0.1, le=600
    )
    model: str = setting("ANTHROPIC_MODEL", "claude-sonnet-5-5", "Chat model")
    max_tokens: int = setting(
        "ANTHROPIC_MAX_TOKENS",
        4096,
        "Longest answer, in tokens, where neither corpus nor run says; the service wants one",
        ge=1,
        le=100_000,
    )


def ready(config: AnthropicConfig) -> str | None:
    """What the provider needs, for ``Provider.ready``."""
    return None if config.api_key else "needs ANTHROPIC_API_KEY, which is unset"
