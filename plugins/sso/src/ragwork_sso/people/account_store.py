"""Accounts: which user a subject of a provider is. Never found by address or name."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

import attrs
from ragwork_hooks.errors import Problem
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.bearer_tokens.format import new_id
from ragwork_toolkit.rows import from_row

from ragwork_sso.login.id_token import VerifiedIdentity
from ragwork_sso.problems import no_account
from ragwork_sso.providers.provider_store import IdentityProvider

# A server of the release before leaves the provider open; its issuer is that of one provider and stays it.
_FIND: Final = """
SELECT user_id FROM sso.accounts
 WHERE tenant_id = ragwork.tenant() AND issuer = $1 AND subject = $2 AND (provider_id = $3 OR provider_id IS NULL)
"""
# The row is locked by the update, so logins of one subject take turns and the first one makes the user.
_SEEN: Final = """
INSERT INTO sso.accounts AS a (
    tenant_id, issuer, subject, provider_id, user_id, email, display_name, last_login_at
)
VALUES (ragwork.tenant(), $1, $2, $3, $4, $5, $6, now())
ON CONFLICT (tenant_id, issuer, subject) DO UPDATE
   SET email = EXCLUDED.email, display_name = EXCLUDED.display_name, provider_id = EXCLUDED.provider_id,
       last_login_at = now(), updated_at = now()
 WHERE a.provider_id = EXCLUDED.provider_id OR a.provider_id IS NULL
RETURNING a.user_id, xmax = 0 AS made
"""
_LINK: Final = """
INSERT INTO sso.accounts (tenant_id, issuer, subject, provider_id, user_id)
VALUES (ragwork.tenant(), $1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING user_id
"""
_OF_PROVIDER: Final = """
SELECT DISTINCT user_id FROM sso.accounts WHERE tenant_id = ragwork.tenant() AND (provider_id = $1 OR issuer = $2)
"""
_FIRST: Final = """
SELECT min(created_at) AS created_at, user_id FROM sso.accounts WHERE tenant_id = ragwork.tenant()
 GROUP BY user_id ORDER BY 1, 2 LIMIT $1
"""
# One row a user: the account that was used last stands for all.
_OF_USERS: Final = """
SELECT DISTINCT ON (user_id) * FROM sso.accounts WHERE tenant_id = ragwork.tenant() AND user_id = ANY ($1::text[])
 ORDER BY user_id, last_login_at DESC NULLS LAST, created_at
"""
_OF: Final = """
SELECT * FROM sso.accounts WHERE tenant_id = ragwork.tenant() AND user_id = $1
 ORDER BY last_login_at DESC NULLS LAST, created_at LIMIT 1
"""


@attrs.frozen(kw_only=True)
class LinkedAccount:
    """A subject and its user. ``email`` and ``display_name`` are the provider's words of the last login."""

    user_id: str
    issuer: str
    subject: str
    email: str | None
    display_name: str | None
    last_login_at: datetime | None
    created_at: datetime
    updated_at: datetime


def new_user_id() -> str:
    """An id that no provider can choose, so that a subject never becomes somebody else."""
    return f"sso-{new_id()}"


async def find(tx: Transaction, provider: IdentityProvider, identity: VerifiedIdentity) -> str | None:
    """The identity's user id."""
    found: str | None = await tx.fetchval(_FIND, provider.issuer, identity.subject, provider.id)
    return found


async def seen(
    tx: Transaction, provider: IdentityProvider, identity: VerifiedIdentity, user_id: str
) -> tuple[str, bool]:
    """Note a login. The account's user id (``user_id`` when the account is new), and whether it is new."""
    row = await tx.fetchrow(
        _SEEN, provider.issuer, identity.subject, provider.id, user_id, identity.email, identity.name
    )
    if row is None:
        raise no_account()  # what had this issuer before is another provider: its subjects are other people
    return row["user_id"], row["made"]


async def link(tx: Transaction, provider: IdentityProvider, subject: str, user_id: str) -> None:
    """Make ``subject`` this user. ``Problem`` 409 when it is a user already."""
    if await tx.fetchval(_LINK, provider.issuer, subject, provider.id, user_id) is None:
        raise Problem("CONFLICT", "this subject of the provider is a user already")


async def users_of(tx: Transaction, provider: IdentityProvider) -> Sequence[str]:
    """Ids of the users who can log in with the provider."""
    return [row["user_id"] for row in await tx.fetch(_OF_PROVIDER, provider.id, provider.issuer)]


async def first(tx: Transaction, limit: int) -> Sequence[tuple[datetime, str]]:
    """When users got their first account, and their ids, oldest first."""
    return [(row["created_at"], row["user_id"]) for row in await tx.fetch(_FIRST, limit)]


async def of_users(tx: Transaction, user_ids: Collection[str]) -> Mapping[str, LinkedAccount]:
    """The account that each of the users used last."""
    return {row["user_id"]: from_row(LinkedAccount, row) for row in await tx.fetch(_OF_USERS, list(user_ids))}


async def of_user(tx: Transaction, user_id: str) -> LinkedAccount | None:
    """The account that the user used last."""
    row = await tx.fetchrow(_OF, user_id)
    return None if row is None else from_row(LinkedAccount, row)
