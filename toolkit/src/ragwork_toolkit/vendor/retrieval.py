"""Retrieval by a vendor's service, which knows nothing of the caller's transaction.

Users: bedrock, vertex.
"""

from collections.abc import Sequence

import attrs
from ragwork_hooks.authz import ReadScope
from ragwork_hooks.retrieval import Passage
from ragwork_hooks.storage import Transaction


class NothingMatches(Exception):
    """No passage can have what the filter asks for."""


@attrs.frozen
class PreparedPassages:
    """An answer that is there. Whether the caller may read it is for the catalogue to say: see
    ``Retriever.transactional``.
    """

    best: Sequence[Passage]

    async def passages(self, tx: Transaction, scope: ReadScope) -> Sequence[Passage]:
        """The passages, unchecked. No round trip."""
        return self.best
