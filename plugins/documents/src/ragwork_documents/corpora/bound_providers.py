"""The providers that corpora are bound to, over all tenants."""

from collections.abc import Sequence

from ragwork_hooks.providers import Binding
from ragwork_hooks.storage import Database


async def bound(db: Database) -> Sequence[Binding]:
    """One for each provider that some corpus names: for retrieval, embedding, reranking or generation, or to stand
    in.
    """
    async with db.anonymous() as tx:
        rows = await tx.fetch("SELECT * FROM documents.bound_providers()")
    found = []
    for row in rows:
        more = f", and {row['corpora'] - 1} more" if row["corpora"] > 1 else ""
        where = f"corpus {row['corpus_id']!r} of tenant {row['tenant_id']!r}{more}"
        found.append(Binding(kind=row["kind"], name=row["name"], where=where))
    return found
