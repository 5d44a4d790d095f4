"""What guards the data right now, as found and not as hoped."""

from typing import Final

import attrs
from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.http import AnyRoute, Empty, Request
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.routes import ops_route

from ragwork_abac.config import AbacConfig

_VIEW: Final = Action(name="ops.read", role=Role.ADMIN)

# True when every table with a tenant column enforces its policies on its owner too, and this role can't
# pass them by.
_GUARDED: Final = """
SELECT NOT EXISTS (
    SELECT FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attname = 'tenant_id' AND NOT a.attisdropped AND c.relkind IN ('r', 'p')
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_t%'
      AND has_table_privilege(c.oid, 'SELECT')
      AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
) AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)
)"""


@attrs.frozen(kw_only=True)
class AuthzPostureResponse:
    """``tenant_predicate_required`` says that the database was found to bind every readable tenant table to
    one tenant; ``enforcement_mode`` is then ``forced_row_level_security``, else ``incomplete``.
    """

    #: Whether the database binds every readable tenant table to one tenant. Example: true
    tenant_predicate_required: bool
    #: `forced_row_level_security`, else `incomplete`. Example: "forced_row_level_security"
    enforcement_mode: str
    #: Whether policies are asked. Example: true
    abac_enabled: bool
    #: Whether what no policy allows is denied. Example: false
    default_deny: bool


async def posture(tx: Transaction, config: AbacConfig) -> AuthzPostureResponse:
    """What holds in this database. One round trip."""
    guarded = bool(await tx.fetchval(_GUARDED))
    return AuthzPostureResponse(
        tenant_predicate_required=guarded,
        enforcement_mode="forced_row_level_security" if guarded else "incomplete",
        abac_enabled=config.enabled,
        default_deny=config.default_deny,
    )


def route(config: AbacConfig) -> AnyRoute:
    """``GET /v1/ops/authz/posture``."""

    async def view(request: Request[Empty, Empty]) -> AuthzPostureResponse:
        return await posture(request.tx, config)

    return ops_route(
        name="authz.posture.get", path="/v1/ops/authz/posture",
        summary="How tenants and documents are guarded, as verified", handler=view, action=_VIEW,
        feature="ops_admin_access", transaction="read", response=AuthzPostureResponse,
        errors=("FEATURE_NOT_ENABLED",), legacy=True,
    )  # fmt: skip
