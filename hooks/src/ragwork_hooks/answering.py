"""Answers for whoever asks on behalf of somebody else than a stream: evaluations, feedback."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import attrs

from ragwork_hooks.auth import Principal
from ragwork_hooks.documents import Corpus
from ragwork_hooks.storage import Transaction


@attrs.frozen(kw_only=True)
class CitedQuote:
    """What an answer cites: ``quote`` stands verbatim in the document."""

    document_id: str
    quote: str


@attrs.frozen(kw_only=True)
class CitedAnswer:
    """An answer with what it stands on."""

    text: str
    citations: Sequence[CitedQuote]


@attrs.frozen(kw_only=True)
class PastRun:
    """A run that a user made, as long as its session is kept."""

    session_id: str
    question: str
    corpus_ids: Sequence[str]
    citations: Sequence[CitedQuote]


class Answering(Protocol):
    """Capability of the plugin that answers questions."""

    async def answer(self, principal: Principal, corpus: Corpus, question: str, top_k: int) -> CitedAnswer:
        """As ``POST /v1/run`` would from ``corpus`` as it is given, in a session that is gone afterwards.

        Raises ``ProviderError`` and ``Problem``.
        """

    async def past_runs(
        self, tx: Transaction, runs: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], PastRun]:
        """Those of ``runs`` (user, request id) that are kept. One round trip."""
