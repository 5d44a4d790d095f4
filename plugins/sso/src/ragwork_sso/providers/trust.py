"""What a provider is trusted with, and that nobody widens it alone under dual control.

Whoever chooses a provider's keys is whoever it says they are. So one that gives more than the role reader, or by
which somebody logs in who has more, is switched on by two admins and is not changed while it is on.
"""

import hashlib
import json
from typing import Final

import attrs
from ragwork_hooks.auth import Directory, Role
from ragwork_hooks.errors import Problem
from ragwork_hooks.storage import Transaction

from ragwork_sso.login import role_mapping
from ragwork_sso.people import account_store
from ragwork_sso.providers.provider_store import IdentityProvider, ProviderFields, ProviderStore

_KIND: Final = "identity_provider"
#: What changes neither who is believed nor what they get.
_HARMLESS: Final = frozenset({"name", "scopes", "client_secret_ref", "enabled", "created_at", "updated_at"})


class Trust:
    """Judges switching on, and changes."""

    def __init__(self, providers: ProviderStore, directory: Directory) -> None:
        self._providers = providers
        self._directory = directory

    async def agreed(self, tx: Transaction, provider: IdentityProvider, by: str) -> bool:
        """Whether ``provider`` may be switched on now; else ``by`` is one of the two who want it."""
        role = await self._gives(tx, provider)
        if not self._directory.dual_control or role == Role.READER:
            return True
        return await self._directory.agreed(tx, (_KIND, provider.id), role, _state(provider), by=by)

    async def change(self, tx: Transaction, provider_id: str, fields: ProviderFields) -> IdentityProvider:
        """The changed provider. ``Problem`` 404; 409 for a change that needs another way."""
        before = await self._providers.locked(tx, provider_id)
        if fields.issuer not in (None, before.issuer) and await account_store.users_of(tx, before):
            raise Problem(
                "CONFLICT",
                "people log in with this issuer, and another one's subjects are other people: add a provider for it",
            )
        after = await self._providers.change(tx, provider_id, fields)
        widened = after.enabled and _state(before) != _state(after) and self._directory.dual_control
        if widened and max(await self._gives(tx, before), await self._gives(tx, after)) > Role.READER:
            raise Problem(
                "CONFLICT",
                "under dual control this provider can't be changed while it is on: switch it off first, two admins"
                " switch it on again",
            )
        return after

    async def _gives(self, tx: Transaction, provider: IdentityProvider) -> Role:
        """The highest role that somebody gets or has who logs in with ``provider``."""
        given = [provider.default_role, *role_mapping.roles(provider.role_mapping or {})]
        if provider.links_scim_users:
            given.append(Role.ADMIN)
        users = await self._directory.users(tx, await account_store.users_of(tx, provider))
        return max((*given, *(user.role for user in users.values())))


def _state(provider: IdentityProvider) -> str:
    """What two admins agree on, short."""
    values = attrs.asdict(provider, filter=lambda field, _: field.name not in _HARMLESS)
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()
