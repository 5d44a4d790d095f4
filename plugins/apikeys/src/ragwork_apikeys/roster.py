"""Keys as those who give grants look them up."""

import difflib
from collections.abc import Collection

from ragwork_hooks.storage import Transaction

from ragwork_apikeys.store import KeyStore
from ragwork_apikeys.tokens import KEY


class KeyRoster:
    """Implements ``ragwork_hooks.auth.Roster``. A revoked key is nobody: it never comes back."""

    name = "apikeys"
    kinds = frozenset({"api_key"})

    def __init__(self, store: KeyStore) -> None:
        self._store = store

    async def known(self, tx: Transaction, kind: str, ids: Collection[str]) -> frozenset[str]:
        """See ``Roster``."""
        del kind  # there is one
        return await self._store.unrevoked(tx, ids)

    async def active(self, tx: Transaction, kind: str, ids: Collection[str]) -> frozenset[str]:
        """Keys that may be used, as far as they alone decide it: their user may be disabled."""
        del kind  # there is one
        return await self._store.usable(tx, ids)

    async def nearest(self, tx: Transaction, kind: str, wanted: str) -> str | None:
        """By the key's name or its shown beginning, then by likeness of the ids."""
        del kind  # there is one
        keys = [view for view in await self._store.all(tx) if view.revoked_at is None]
        called = [view.id for view in keys if wanted in (view.name, KEY.shown(view.id))]
        return next(iter(called or difflib.get_close_matches(wanted, [view.id for view in keys], n=1)), None)
