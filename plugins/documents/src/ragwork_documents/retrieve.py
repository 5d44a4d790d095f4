"""``POST /v1/retrieve``: passages without an answer, from one corpus or several."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import attrs
from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.authz import Action
from ragwork_hooks.documents import Corpus
from ragwork_hooks.errors import Problem, ProviderError, not_found
from ragwork_hooks.http import AnyRoute, Call, NoFields, Route
from ragwork_hooks.plugin import Services
from ragwork_hooks.retrieval import Passage, PreparedQuery, Query

from ragwork_documents.catalog import Catalog
from ragwork_documents.federation import Found, merge
from ragwork_documents.hostile import check_storable, invalid
from ragwork_documents.shapes import FailedCorpus, PassageResponse, RetrieveRequest, RetrieveResponse

RETRIEVE: Final = Action(name="corpus.retrieve", role=Role.READER)
MAX_FILTER_KEYS: Final = 16
MIN_CORPORA: Final = 2
MAX_CORPORA: Final = 8
MAX_CORPUS_ID: Final = 128
#: Feature of a question that goes to corpora of different providers.
FEDERATED: Final = "retrieval.federated"


@attrs.frozen(kw_only=True)
class Answers:
    """What the asked corpora gave: (corpus id, passages best first) and (corpus id, error)."""

    found: Sequence[tuple[str, Sequence[Passage]]]
    failed: Sequence[tuple[str, ProviderError]]


class Retrieval:
    """Asks the retrievers of corpora within what the caller may read."""

    def __init__(self, services: Services, catalog: Catalog) -> None:
        self._services = services
        self._catalog = catalog

    async def retrieve(self, call: Call[RetrieveRequest, NoFields]) -> RetrieveResponse:
        """The best passages. Raises ``Problem`` 404, 422 for the request, 503 when no provider answers."""
        body, principal = call.body, call.principal
        asked = _asked(body)
        _check_filter(body.filter or {})
        corpora = [await self._corpus(principal.tenant_id, corpus_id) for corpus_id in asked]
        top_k = body.top_k or max(corpus.top_k_default for corpus in corpora)
        answers = await self._answers(principal, body, corpora, top_k)
        if not answers.found:
            _, error = answers.failed[0]
            raise _unavailable(error) from error
        return RetrieveResponse(
            passages=[_response(found) for found in await _ranked(body, answers, top_k)],
            failed=[
                FailedCorpus(corpus_id=corpus_id, code=error.code) for corpus_id, error in answers.failed
            ],
        )

    async def _corpus(self, tenant_id: str, corpus_id: str) -> Corpus:
        corpus = await self._catalog.corpus(tenant_id, corpus_id)
        if corpus is None:
            raise not_found("corpus", corpus_id)
        return corpus

    async def _answers(
        self, principal: Principal, body: RetrieveRequest, corpora: Sequence[Corpus], top_k: int
    ) -> Answers:
        """Ask all at once outside any transaction, then read each within one snapshot."""
        prepared = await asyncio.gather(
            *(self._prepare(principal, body, corpus, top_k) for corpus in corpora), return_exceptions=True
        )
        found: list[tuple[str, Sequence[Passage]]] = []
        failed: list[tuple[str, ProviderError]] = []
        ready: list[tuple[str, PreparedQuery]] = []
        for corpus, outcome in zip(corpora, prepared, strict=True):
            if isinstance(outcome, ProviderError):
                failed.append((corpus.id, outcome))
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                ready.append((corpus.id, outcome))
        if ready:
            async with self._services.db.tenant(principal.tenant_id, "read") as tx:
                scope = self._services.read_scope(principal, RETRIEVE)
                for corpus_id, query in ready:
                    try:
                        found.append((corpus_id, await query.passages(tx, scope)))
                    except ProviderError as error:
                        failed.append((corpus_id, error))
        return Answers(found=found, failed=failed)

    async def _prepare(
        self, principal: Principal, body: RetrieveRequest, corpus: Corpus, top_k: int
    ) -> PreparedQuery:
        query = Query(
            corpus_id=corpus.id,
            text=body.query,
            top_k=top_k,
            embedder=corpus.embedder,
            filter=body.filter or {},
            distinct="document" if body.distinct else None,
            options=corpus.options,
            fallback=corpus.fallback,
            shadow=corpus.shadow,
            shadow_options=corpus.shadow_options,
            scope=self._services.read_scope(principal, RETRIEVE),
        )
        retriever = await self._services.providers.retriever(corpus.retriever)
        return await retriever.prepare(principal.tenant_id, query)

    def routes(self) -> tuple[AnyRoute, ...]:
        """The route."""
        return (
            Route(
                name="retrieve", method="POST", path="/v1/retrieve",
                summary="Find passages in one corpus or several, without an answer", handler=self.retrieve,
                scope="tenant", action=RETRIEVE, rate_class="read", idempotency="none",
                audit_event=None, feature=self._feature, stale_reads=False, transaction="none",
                response=RetrieveResponse, body=RetrieveRequest, body_kind="json",
                errors=("NOT_FOUND", "SERVICE_UNAVAILABLE"),
            ),
        )  # fmt: skip

    async def _feature(self, call: Call[RetrieveRequest, NoFields]) -> str | None:
        tenant_id = call.principal.tenant_id
        corpora = [await self._catalog.corpus(tenant_id, corpus_id) for corpus_id in _asked(call.body)]
        retrievers = {corpus.retriever for corpus in corpora if corpus is not None}
        if len(retrievers) > 1:
            return FEDERATED
        return f"retrieval.{retrievers.pop()}" if retrievers else None


def _asked(body: RetrieveRequest) -> Sequence[str]:
    """The ids of the corpora to ask. Raises ``Problem`` 422 unless they are named in exactly one way."""
    if (body.corpus_id is None) == (body.corpus_ids is None):
        raise invalid(["body"], "needs exactly one of corpus_id and corpus_ids")
    if body.corpus_id is not None:
        return [body.corpus_id]
    ids, path = body.corpus_ids or [], ["body", "corpus_ids"]
    if not MIN_CORPORA <= len(ids) <= MAX_CORPORA:
        raise invalid([*path], f"has {len(ids)} ids, {MIN_CORPORA} to {MAX_CORPORA} are taken")
    if len(set(ids)) < len(ids):
        raise invalid([*path], "names a corpus twice")
    for number, corpus_id in enumerate(ids):
        check_storable(corpus_id, [*path, number])
        if not 1 <= len(corpus_id) <= MAX_CORPUS_ID:
            raise invalid([*path, number], f"needs 1 to {MAX_CORPUS_ID} characters")
    return ids


async def _ranked(body: RetrieveRequest, answers: Answers, top_k: int) -> Sequence[Found]:
    """One corpus' answer as it is; several merged, off the event loop: the texts may be long."""
    if body.corpus_id is not None:
        return [Found(corpus_id=body.corpus_id, passage=passage) for passage in answers.found[0][1]]
    return await asyncio.to_thread(merge, body.query, answers.found, top_k, distinct=bool(body.distinct))


def _check_filter(filter: Mapping[str, object]) -> None:
    path: list[str | int] = ["body", "filter"]
    check_storable(filter, path)
    if len(filter) > MAX_FILTER_KEYS:
        raise invalid(path, f"has {len(filter)} keys, at most {MAX_FILTER_KEYS} are taken")
    for key, value in filter.items():
        values = value if isinstance(value, list) else [value]
        if not values or not all(isinstance(v, str | int | float | bool) for v in values):
            raise invalid([*path, key], "must be a text, number or boolean, or a list of them")


def _unavailable(error: ProviderError) -> Problem:
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return Problem(error.code, error.message, status=503, headers=headers)


def _response(found: Found) -> PassageResponse:
    passage = found.passage
    return PassageResponse(
        corpus_id=found.corpus_id,
        document_id=passage.document_id,
        chunk_id=passage.chunk_id,
        text=passage.text,
        score=passage.score,
        source=passage.source,
        metadata=dict(passage.metadata),
    )
