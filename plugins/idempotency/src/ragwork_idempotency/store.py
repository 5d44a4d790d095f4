"""Claims and stored answers in Postgres, in the transaction of the effect they guard."""

from datetime import timedelta

from ragwork_hooks.auth import Directory
from ragwork_hooks.idempotency import (
    Claimed,
    Conflict,
    FirstTime,
    IdempotencyClaim,
    InProgress,
    Replayed,
    StoredReply,
)
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.tenants import visit

_CLAIM = "SELECT * FROM idempotency.claim($1, $2, $3, $4, $5, $6)"
_STORE = """UPDATE idempotency.answers SET status = $5, headers = $6, body = $7, echo_id = $8
    WHERE tenant_id = ragwork.tenant() AND actor_id = $1 AND method = $2 AND path = $3 AND key = $4"""
_EXPIRE = """DELETE FROM idempotency.answers WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM idempotency.answers WHERE tenant_id = ragwork.tenant() AND expires_at <= now()
    LIMIT 1000))"""
_BATCH = 1000
_ASK_AGAIN_S = 1.0


class PostgresIdempotencyStore:
    """Implements ``ragwork_hooks.idempotency.Replay``.

    The claim is a row that the effect's own transaction inserts: a concurrent request with the same key
    waits for that transaction, up to five seconds, and a crash leaves nothing behind.
    """

    def __init__(self, ttl: timedelta) -> None:
        self._ttl = ttl

    async def claim(self, tx: Transaction, claim: IdempotencyClaim) -> Claimed:
        row = await tx.fetchrow(_CLAIM, *_identity(claim), claim.payload_sha256, self._ttl)
        if row is None or row["outcome"] == "in_progress":
            # No row: the answer expired and was pruned between the two looks.
            return InProgress(_ASK_AGAIN_S)
        if row["outcome"] == "miss":
            return FirstTime()
        if row["outcome"] == "conflict":
            return Conflict()
        reply = StoredReply(
            status=row["status"], headers=row["headers"], body=row["body"], echo_id=row["echo_id"]
        )
        return Replayed(reply)

    async def store(self, tx: Transaction, claim: IdempotencyClaim, reply: StoredReply) -> None:
        await tx.execute(
            _STORE, *_identity(claim), reply.status, dict(reply.headers), reply.body, reply.echo_id
        )


class DisabledIdempotency:
    """Idempotency switched off: every request is its own."""

    async def claim(self, tx: Transaction, claim: IdempotencyClaim) -> Claimed:
        return FirstTime()

    async def store(self, tx: Transaction, claim: IdempotencyClaim, reply: StoredReply) -> None:
        return None


async def prune(services: Services) -> int:
    """Delete expired answers of every tenant, in batches; how many rows went. ``RuntimeError`` when a tenant failed."""

    async def of(tenant_id: str) -> int:
        removed, count = 0, _BATCH
        while count == _BATCH:
            async with services.db.tenant(tenant_id) as tx:
                count = int((await tx.execute(_EXPIRE)).split()[-1])
            removed += count
        return removed

    return (await visit(await services.use(Directory).tenants(), of)).complete()


def _identity(claim: IdempotencyClaim) -> tuple[str, str, str, str]:
    return claim.actor_id, claim.method, claim.path, claim.key
