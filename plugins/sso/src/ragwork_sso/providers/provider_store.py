"""Identity providers of a tenant: what is stored of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import attrs
from ragwork_hooks.auth import Role
from ragwork_hooks.errors import Problem, not_found
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Row, Transaction
from ragwork_toolkit.bearer_tokens.format import new_id
from ragwork_toolkit.rows import from_row

MAX_PROVIDERS: Final = 100

_LIST: Final = """
SELECT * FROM sso.providers WHERE tenant_id = ragwork.tenant() AND (enabled OR NOT $1) ORDER BY created_at, id
"""
_GET: Final = "SELECT * FROM sso.providers WHERE tenant_id = ragwork.tenant() AND id = $1"
_LOCK: Final = "SELECT * FROM sso.providers WHERE tenant_id = ragwork.tenant() AND id = $1 FOR UPDATE"
_HOLD: Final = "SELECT * FROM sso.providers WHERE tenant_id = ragwork.tenant() AND id = $1 FOR SHARE"
# A tenant's additions and changes take turns, so that bounds hold.
_TURN: Final = "SELECT pg_advisory_xact_lock(hashtextextended('sso.providers/' || ragwork.tenant(), 0))"
#: A new provider, no row when the tenant has $15 of them; the count is exact in the tenant's turn only.
_INSERT: Final = """
INSERT INTO sso.providers (
    tenant_id, id, name, issuer, client_id, client_secret_ref, auth_url, token_url, jwks_url,
    algorithms, scopes, default_role, role_mapping, jit_enabled, links_scim_users
)
SELECT ragwork.tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14
 WHERE (SELECT count(*) FROM sso.providers WHERE tenant_id = ragwork.tenant()) < $15
RETURNING *
"""
#: Changes a provider; null leaves, so nothing becomes null again. Parameters: id, ``ProviderFields``, enabled.
_CHANGE: Final = """
UPDATE sso.providers
   SET name = COALESCE($2, name), issuer = COALESCE($3, issuer), client_id = COALESCE($4, client_id),
       client_secret_ref = COALESCE($5, client_secret_ref), auth_url = COALESCE($6, auth_url),
       token_url = COALESCE($7, token_url), jwks_url = COALESCE($8, jwks_url),
       algorithms = COALESCE($9, algorithms), scopes = COALESCE($10, scopes),
       default_role = COALESCE($11, default_role), role_mapping = COALESCE($12, role_mapping),
       jit_enabled = COALESCE($13, jit_enabled), links_scim_users = COALESCE($14, links_scim_users),
       enabled = COALESCE($15, enabled), updated_at = now()
 WHERE tenant_id = ragwork.tenant() AND id = $1
RETURNING *
"""
# Written with or without a slash at its end and in any case, it is one issuer.
_OTHER: Final = """
SELECT id, lower(rtrim(issuer, '/')) = lower(rtrim($2, '/')) AS same_issuer FROM sso.providers
 WHERE tenant_id = ragwork.tenant() AND id <> $1
   AND (lower(rtrim(issuer, '/')) = lower(rtrim($2, '/')) OR (links_scim_users AND $3)) LIMIT 1
"""


@attrs.frozen(kw_only=True)
class IdentityProvider:
    """One OpenID provider. ``role_mapping`` ``None`` leaves roles to this platform's admins. Its people are those that
    SCIM provisions when it ``links_scim_users``.
    """

    tenant_id: str
    id: str
    name: str
    issuer: str
    client_id: str
    client_secret_ref: str
    auth_url: str
    token_url: str
    jwks_url: str
    algorithms: Sequence[str]
    scopes: Sequence[str] | None
    enabled: bool
    default_role: Role
    role_mapping: Mapping[str, object] | None
    jit_enabled: bool
    links_scim_users: bool
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Row) -> "IdentityProvider":
        return from_row(cls, row, default_role=Role.parse(row["default_role"]))


@attrs.frozen(kw_only=True)
class ProviderFields:
    """What an admin sets; ``None`` leaves it as it is."""

    name: str | None = None
    issuer: str | None = None
    client_id: str | None = None
    client_secret_ref: str | None = None
    auth_url: str | None = None
    token_url: str | None = None
    jwks_url: str | None = None
    algorithms: Sequence[str] | None = None
    scopes: Sequence[str] | None = None
    default_role: str | None = None
    role_mapping: Mapping[str, object] | None = None
    jit_enabled: bool | None = None
    links_scim_users: bool | None = None

    def arguments(self) -> tuple[object, ...]:
        """In the order of the statements."""
        return attrs.astuple(self, recurse=False)


class ProviderStore:
    """All that touches the table."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def tenant_of(self, provider_id: str) -> str | None:
        """Whose provider it is, before any tenant is known."""
        async with self._services.db.anonymous() as tx:
            found: str | None = await tx.fetchval("SELECT sso.tenant_of($1)", provider_id)
        return found

    async def all(self, tx: Transaction, *, only_enabled: bool = False) -> Sequence[IdentityProvider]:
        """The tenant's providers, oldest first."""
        return [IdentityProvider.of(row) for row in await tx.fetch(_LIST, only_enabled)]

    async def find(self, tx: Transaction, provider_id: str) -> IdentityProvider | None:
        row = await tx.fetchrow(_GET, provider_id)
        return None if row is None else IdentityProvider.of(row)

    async def held(self, tx: Transaction, provider_id: str) -> IdentityProvider | None:
        """The provider, which can't be changed or switched off before the transaction ends."""
        row = await tx.fetchrow(_HOLD, provider_id)
        return None if row is None else IdentityProvider.of(row)

    async def locked(self, tx: Transaction, provider_id: str) -> IdentityProvider:
        """The provider, held for a change. ``Problem`` 404."""
        row = await tx.fetchrow(_LOCK, provider_id)
        if row is None:
            raise not_found("provider", provider_id)
        return IdentityProvider.of(row)

    async def create(self, tx: Transaction, fields: ProviderFields) -> IdentityProvider:
        """A new provider, switched off. ``Problem`` 409 when the tenant has too many, or another of this issuer."""
        provider_id = f"idp_{new_id()}"
        await self._alone(tx, provider_id, fields)
        row = await tx.fetchrow(_INSERT, provider_id, *fields.arguments(), MAX_PROVIDERS)
        if row is None:
            raise Problem("CONFLICT", f"a tenant has at most {MAX_PROVIDERS} providers")
        return IdentityProvider.of(row)

    async def change(
        self, tx: Transaction, provider_id: str, fields: ProviderFields, *, enabled: bool | None = None
    ) -> IdentityProvider:
        """The changed provider. ``Problem`` 404 for an unknown id, 409 when another one has the issuer."""
        await self._alone(tx, provider_id, fields)
        row = await tx.fetchrow(_CHANGE, provider_id, *fields.arguments(), enabled)
        if row is None:
            raise not_found("provider", provider_id)
        return IdentityProvider.of(row)

    async def _alone(self, tx: Transaction, provider_id: str, fields: ProviderFields) -> None:
        """Take the tenant's turn, and refuse what another provider is already."""
        if fields.issuer is None and not fields.links_scim_users:
            return
        await tx.execute(_TURN)
        row = await tx.fetchrow(_OTHER, provider_id, fields.issuer or "", bool(fields.links_scim_users))
        if row is not None:
            what = "has this issuer" if row["same_issuer"] else "links SCIM's users"
            raise Problem("CONFLICT", f"provider {row['id']!r} {what} already: change that one")
