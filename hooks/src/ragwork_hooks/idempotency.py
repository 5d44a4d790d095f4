"""One effect per idempotency key: the claim and the stored answer of a write."""

from collections.abc import Mapping
from typing import Protocol, TypeAlias

import attrs

from ragwork_hooks.storage import Transaction


@attrs.frozen(kw_only=True)
class IdempotencyClaim:
    """What identifies a request: who, where, its key, and a hash of its meaning (not of its spelling)."""

    actor_id: str
    method: str
    path: str
    key: str
    payload_sha256: bytes


@attrs.frozen(kw_only=True)
class StoredReply:
    """An answer as it left: ``headers`` are those of the handler, ``echo_id`` the request id it carried."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    echo_id: str


@attrs.frozen
class FirstTime:
    """The claim is this transaction's: do the work, then store the answer."""


@attrs.frozen
class Replayed:
    """The work was done: this was the answer."""

    reply: StoredReply


@attrs.frozen
class Conflict:
    """The key was used for something else."""


@attrs.frozen
class InProgress:
    """The same request is being worked on elsewhere; ``retry_after_s`` is when to ask again."""

    retry_after_s: float


Claimed: TypeAlias = FirstTime | Replayed | Conflict | InProgress


class IdempotencyStore(Protocol):
    """Capability: claims and answers, in the transaction of the effect. A rolled back effect leaves no claim."""

    async def claim(self, tx: Transaction, claim: IdempotencyClaim) -> Claimed:
        """Take the key, or say what became of it. Waits a bounded time for a concurrent holder."""

    async def store(self, tx: Transaction, claim: IdempotencyClaim, reply: StoredReply) -> None:
        """Keep the answer of a claim that this transaction holds."""
