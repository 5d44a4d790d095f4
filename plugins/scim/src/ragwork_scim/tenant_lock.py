"""Writers of one tenant take turns until their commit: names stay unique and roles right without any retry, and
no two of them can wait for each other.
"""

from typing import Final

from ragwork_hooks.storage import Transaction

_TURN: Final = "SELECT pg_advisory_xact_lock(hashtextextended('scim/' || ragwork.tenant(), 0))"


async def acquire(tx: Transaction) -> None:
    """Wait for this transaction's turn. What is read afterwards nobody else changes before its end."""
    await tx.execute(_TURN)
