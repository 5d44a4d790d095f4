"""Settings of agent identity."""

import attrs
from ragwork_hooks.provider_kinds import POLICY_ENGINE
from ragwork_hooks.settings import http_url, setting


@attrs.frozen(kw_only=True)
class AgentsConfig:
    """``AGENT_…`` and ``OAUTH_…``: who agents are and what their tokens look like."""

    issuer: str | None = setting(
        "OAUTH_ISSUER",
        None,
        "public base URL of the authorization server, such as https://api.example.com; unset, production has no "
        "agent identity, and elsewhere it is taken from the request's Host header",
        form=http_url,
    )
    signing_key_pem: str | None = setting(
        "OAUTH_SIGNING_KEY_PEM",
        None,
        "PEM of an RSA private key that each tenant's first signing key is; unset, one is made per tenant",
        secret=True,
    )
    policy_engine: str = setting(
        "AGENT_POLICY_ENGINE",
        "rego",
        "provider of kind policy_engine that decides: rego or opa",
        binds=POLICY_ENGINE,
    )
    decision_cache_s: int = setting(
        "AGENT_DECISION_CACHE_S",
        60,
        "upper bound in seconds on a cached decision; edits drop it",
        ge=0,
        le=60,
    )
    max_delegation_depth: int = setting(
        "AGENT_MAX_DELEGATION_DEPTH", 3, "how often a token may be delegated on", ge=0, le=10
    )
    max_api_keys: int = setting("AGENT_MAX_API_KEYS", 10, "active API keys of one agent", ge=0, le=100)
    api_key_days: int = setting(
        "AGENT_API_KEY_DAYS", 90, "days after which an agent's API key ends", ge=1, le=3650
    )
    refresh_ttl_s: int = setting(
        "AGENT_REFRESH_TTL_S",
        86_400,
        "seconds after which a chain of refresh tokens ends",
        ge=300,
        le=2_592_000,
    )
    enroll_ttl_s: int = setting(
        "AGENT_ENROLL_TTL_S", 3600, "seconds an enroll token lives", ge=60, le=604_800
    )
