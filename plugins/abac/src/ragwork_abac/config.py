"""Settings of attribute policies."""

import attrs
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.settings import setting


@attrs.frozen(kw_only=True)
class AbacConfig:
    """What an operator may set; the names are those of the wire contract's configuration."""

    enabled: bool = setting("AUTHZ_ABAC_ENABLED", True, "judge by policies; without, roles and grants alone")
    default_deny: bool = setting("AUTHZ_DEFAULT_DENY", True, "refuse what no policy allows")
    max_bytes: int = setting(
        "AUTHZ_MAX_POLICY_BYTES", 16_384, "largest condition, in bytes of compact JSON", ge=64, le=65_536
    )
    max_depth: int = setting("AUTHZ_MAX_POLICY_DEPTH", 8, "deepest nesting of a condition", ge=1, le=32)
    simulation: bool = setting("AUTHZ_SIMULATION_ENABLED", True, "serve the simulate route")
    wildcards: bool = setting(
        "AUTHZ_ALLOW_WILDCARDS", False, "take policies whose resource type and action are both *"
    )
    tenant_predicate: bool = setting(
        "AUTHZ_REQUIRE_TENANT_PREDICATE", True, "bind every statement to a tenant; can't be switched off"
    )

    def __attrs_post_init__(self) -> None:
        if not self.tenant_predicate:
            raise ConfigError(
                "AUTHZ_REQUIRE_TENANT_PREDICATE",
                "every statement is bound to one tenant, whatever is set",
                "leave it out or set it to true",
            )
