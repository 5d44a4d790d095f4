"""Signing keys: one active per tenant, the next one published before its first use, the old kept to the last expiry."""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import attrs
from joserfc.jwk import RSAKey
from ragwork_hooks.errors import Problem, not_found, retry_after
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Cache, Row, Transaction

from ragwork_agent_identity.encryption import SecretBox
from ragwork_agent_identity.policies.scopes import MAX_TTL_S
from ragwork_agent_identity.tokens import token_signing

#: Longer than any token lives, so that no token outlives the publication of its key.
_KEEP: Final = timedelta(seconds=MAX_TTL_S + 300)
_ALL: Final = "all"
#: How many of its keys a tenant publishes beside those it signs with, and how soon it may rotate again.
MOST_RETIRED: Final = 8
ROTATE_EVERY_S: Final = 60
_TURN: Final = "SELECT pg_advisory_xact_lock(hashtextextended('agents.keys/' || ragwork.tenant(), 0))"
_TRY: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended('agents.keys/' || ragwork.tenant(), 0))"
#: How many retired keys are published; seconds to the next rotation and to room for it. Parameters: keep, pause in s.
_RETIRED: Final = """
SELECT count(*) AS published,
       ceil(extract(epoch FROM max(retired_at) + make_interval(secs => $2) - clock_timestamp()))::bigint AS pause_s,
       ceil(extract(epoch FROM min(retired_at) + $1::interval - clock_timestamp()))::bigint AS room_s
  FROM agents.signing_keys
 WHERE tenant_id = ragwork.tenant() AND status = 'retired' AND retired_at > clock_timestamp() - $1::interval
"""
_ACTIVE: Final = """
SELECT kid, sealed FROM agents.signing_keys WHERE tenant_id = ragwork.tenant() AND status = 'active'
"""
_INSERT: Final = """
INSERT INTO agents.signing_keys (tenant_id, kid, public, sealed, status)
VALUES (ragwork.tenant(), $1, $2::jsonb, $3, $4)
"""
_RETIRE: Final = """
UPDATE agents.signing_keys SET status = $2, retired_at = now()
 WHERE tenant_id = ragwork.tenant() AND kid = $1
"""
_PROMOTE: Final = """
UPDATE agents.signing_keys SET status = 'active' WHERE tenant_id = ragwork.tenant() AND status = 'next'
RETURNING kid
"""
_LIST: Final = """
SELECT kid, status, created_at, retired_at FROM agents.signing_keys
 WHERE tenant_id = ragwork.tenant() ORDER BY created_at DESC, kid LIMIT $1 OFFSET $2
"""
_ONE: Final = (
    "SELECT status FROM agents.signing_keys WHERE tenant_id = ragwork.tenant() AND kid = $1 FOR UPDATE"
)


@attrs.frozen(kw_only=True)
class SigningKey:
    """A key as an administrator sees it."""

    kid: str
    status: str
    algorithm: str
    created_at: datetime
    retired_at: datetime | None


@attrs.frozen(kw_only=True)
class PublishedKeys:
    """The public keys of all tenants: the JWKS, its entity tag, and which tenant each key signs for. A key is
    imported when a token first names it.
    """

    document: bytes
    etag: str
    keys: Mapping[tuple[str, str], Mapping[str, str]]
    imported: dict[str, RSAKey] = attrs.field(factory=dict)

    def key(self, tenant_id: str, kid: str) -> RSAKey | None:
        public = self.keys.get((tenant_id, kid))
        if public is not None and kid not in self.imported:
            self.imported[kid] = RSAKey.import_key(dict(public))
        return None if public is None else self.imported[kid]


class Keyring:
    """Implements signing and the publication of keys. Signers and the JWKS come from caches."""

    def __init__(self, services: Services, secret_box: SecretBox, first_pem: str | None) -> None:
        self._services = services
        self._secret_box = secret_box
        self._first = None if first_pem is None else token_signing.key_of_pem(first_pem)
        self._signers: Cache[token_signing.TokenSigner] = services.caches.cache(
            "agents.signers", ttl_s=300, size=1000
        )
        self._published: Cache[PublishedKeys] = services.caches.cache("agents.jwks", ttl_s=60, size=1)

    async def signer(self, tenant_id: str) -> token_signing.TokenSigner:
        """The tenant's active signer; its first keys are made when there are none."""

        async def load() -> token_signing.TokenSigner:
            async with self._services.db.tenant(tenant_id, "read") as tx:
                row = await tx.fetchrow(_ACTIVE)
            if row is None:
                async with self._services.db.tenant(tenant_id) as tx:
                    row = await self._first_keys(tx)
            return await asyncio.to_thread(self._open, tenant_id, row)

        return await self._signers.get(tenant_id, load)

    async def recheck(self, tx: Transaction, held: token_signing.TokenSigner) -> None:
        """Let the cached signer ``held`` go if it is no longer the active one."""
        row = await tx.fetchrow(_ACTIVE)
        if row is None or row["kid"] != held.kid:
            await self._signers.invalidate(tx, tx.tenant_id)

    async def published(self) -> PublishedKeys:
        """What anybody may know."""

        async def load() -> PublishedKeys:
            async with self._services.db.anonymous() as tx:
                rows = await tx.fetch("SELECT * FROM agents.published_keys($1)", _KEEP)
            return _publish(rows)

        return await self._published.get(_ALL, load)

    async def public_key(self, tenant_id: str, kid: str) -> RSAKey | None:
        """The key that may verify this tenant's tokens under ``kid``."""
        return (await self.published()).key(tenant_id, kid)

    async def page(self, tx: Transaction, *, limit: int, offset: int) -> Sequence[SigningKey]:
        """A window of the tenant's keys, newest first."""
        rows = await tx.fetch(_LIST, limit, offset)
        return [SigningKey(algorithm=token_signing.ALGORITHM, **dict(row)) for row in rows]

    async def rotate(self, tx: Transaction) -> str:
        """Retire the active key and use the next one, the id of which is given. Tokens of the old stay valid.

        ``Problem`` 409 while another change is under way, 429 when the tenant would publish too many.
        """
        await self._take_turn(tx)
        await self._check_room(tx)
        active = await tx.fetchrow(_ACTIVE)
        if active is None:
            return str((await self._first_keys(tx))["kid"])
        return await self._replace(tx, active["kid"], "retired")

    async def compromise(self, tx: Transaction, kid: str) -> None:
        """Give a key up at once: it verifies nothing any more. ``Problem`` 404 for an unknown one, 409 while another
        change is under way.
        """
        await self._take_turn(tx)
        status = await tx.fetchval(_ONE, kid)
        if status is None:
            raise not_found("signing key", kid)
        if status == "active":
            await self._replace(tx, kid, "compromised")
            return
        await tx.execute(_RETIRE, kid, "compromised")
        if status == "next":
            await self._add(tx, await asyncio.to_thread(token_signing.new_key), "next")
        await self._changed(tx)

    @staticmethod
    async def _take_turn(tx: Transaction) -> None:
        """Nobody waits for another's turn with a connection in hand."""
        if not await tx.fetchval(_TRY):
            raise Problem(
                "CONFLICT",
                "another change of the tenant's signing keys is under way; try again",
                headers=retry_after(1),
            )

    @staticmethod
    async def _check_room(tx: Transaction) -> None:
        """Everybody downloads every tenant's keys, so each has a share of the list."""
        row = await tx.fetchrow(_RETIRED, _KEEP, float(ROTATE_EVERY_S)) or {}
        full = row["published"] >= MOST_RETIRED
        wait_s = row["room_s"] if full else row["pause_s"] or 0
        if wait_s <= 0:
            return
        why = f"{MOST_RETIRED} retired keys are published" if full else f"once in {ROTATE_EVERY_S} s at most"
        raise Problem(
            "RATE_LIMITED",
            f"signing keys can be rotated again in {wait_s} s: {why}; a key that leaked is given up by its compromise",
            status=429,
            headers=retry_after(wait_s),
        )

    async def _replace(self, tx: Transaction, kid: str, status: str) -> str:
        await tx.execute(_RETIRE, kid, status)
        promoted = await tx.fetchval(_PROMOTE)
        if promoted is None:
            promoted = await self._add(tx, await asyncio.to_thread(token_signing.new_key), "active")
        await self._add(tx, await asyncio.to_thread(token_signing.new_key), "next")
        await self._changed(tx)
        return str(promoted)

    async def _first_keys(self, tx: Transaction) -> Row:
        await tx.execute(_TURN)
        row = await tx.fetchrow(_ACTIVE)
        if row is None:
            first = await asyncio.to_thread(token_signing.new_key) if self._first is None else self._first
            await self._add(tx, first, "active")
            await self._add(tx, await asyncio.to_thread(token_signing.new_key), "next")
            await self._changed(tx)
            row = await tx.fetchrow(_ACTIVE)
        if row is None:
            raise Problem("DB_ERROR", "the tenant's signing key could not be kept")
        return row

    async def _add(self, tx: Transaction, key: RSAKey, status: str) -> str:
        public = token_signing.public_jwk(key)
        sealed = self._secret_box.seal(
            token_signing.private_pem(key), "signing_key", tx.tenant_id, public["kid"]
        )
        await tx.execute(_INSERT, public["kid"], public, sealed, status)
        return public["kid"]

    async def _changed(self, tx: Transaction) -> None:
        await self._signers.invalidate(tx, tx.tenant_id)
        await self._published.invalidate(tx, _ALL)

    def _open(self, tenant_id: str, row: Row) -> token_signing.TokenSigner:
        pem = self._secret_box.open(row["sealed"], "signing_key", tenant_id, row["kid"])
        return token_signing.TokenSigner(kid=row["kid"], key=RSAKey.import_key(pem))


def _publish(rows: Sequence[Row]) -> PublishedKeys:
    # One configured first key may serve many tenants: it is published once.
    documents: dict[str, Any] = {row["kid"]: row["public"] for row in rows}
    body = json.dumps({"keys": list(documents.values())}, separators=(",", ":")).encode()
    return PublishedKeys(
        document=body,
        etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
        keys={(row["tenant_id"], row["kid"]): row["public"] for row in rows},
    )
