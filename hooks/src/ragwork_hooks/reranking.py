"""Reranking: a second, closer look at the passages that a search found."""

from collections.abc import Sequence
from typing import Final, Protocol

from ragwork_hooks.provider_kinds import ProviderKind


class Reranker(Protocol):
    """Provider of kind ``reranker``: reads a question and a text together and says how well one answers the other."""

    @property
    def name(self) -> str: ...

    async def rerank(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """The relevance of each text, 0.0 to 1.0, larger is better, in the order of ``texts``; ``[]`` for ``[]``.

        What a text gets does not hang on the others: scores of several calls for one question are compared. A long text
        is judged by its beginning. Raises ``ProviderError``.
        """

    async def aclose(self) -> None: ...


RERANKER: Final = ProviderKind("reranker", Reranker, "RERANKER_CONFIG_INVALID", {"rerank": "rerank"})
