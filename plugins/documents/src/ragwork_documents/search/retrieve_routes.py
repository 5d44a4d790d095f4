"""``POST /v1/retrieve``: passages without an answer, from one corpus or several."""

from collections.abc import Mapping, Sequence
from typing import Final

import attrs
from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.authz import Action
from ragwork_hooks.documents import Corpus, CorpusPassage, CorpusSearch, SearchAnswers
from ragwork_hooks.errors import Problem, ProviderError, not_found, retry_after
from ragwork_hooks.http import AnyRoute, Empty, Request
from ragwork_hooks.retrieval import Query
from ragwork_hooks.services import Services
from ragwork_toolkit.routes import untransacted_route
from ragwork_toolkit.rows import from_object

from ragwork_documents.ingestion.input_checks import check_storable, invalid
from ragwork_documents.permissions.catalog import Catalog
from ragwork_documents.schemas import (
    MAX_CORPORA,
    FailedCorpus,
    NotReranked,
    PassageResponse,
    RetrieveRequest,
    RetrieveResponse,
)

RETRIEVE: Final = Action(name="corpus.retrieve", role=Role.READER)
MAX_FILTER_KEYS: Final = 16
MIN_CORPORA: Final = 2
MAX_CORPUS_ID: Final = 128


class RetrieveApi:
    """Asks the retrievers of corpora within what the caller may read."""

    def __init__(self, services: Services, catalog: Catalog, search: CorpusSearch) -> None:
        self._services = services
        self._catalog = catalog
        self._search = search

    async def retrieve(self, request: Request[RetrieveRequest, Empty]) -> RetrieveResponse:
        """The best passages. Raises ``Problem`` 404, 422 for the request, 503 when no provider answers."""
        body, principal = request.body, request.principal
        asked = _asked(body)
        _check_filter(body.filter or {})
        corpora = [await self._corpus(principal.tenant_id, corpus_id) for corpus_id in asked]
        top_k = body.top_k or max(corpus.top_k_default for corpus in corpora)
        try:
            answers = await self._answers(principal, body, corpora, top_k)
        except ProviderError as error:
            raise _unavailable(error) from error
        return RetrieveResponse(
            passages=[_response(found) for found in await self._ranked(body, answers, top_k)],
            failed=[
                FailedCorpus(corpus_id=corpus_id, code=error.code) for corpus_id, error in answers.failed
            ],
            not_reranked=[
                NotReranked(corpus_id=corpus_id, code=error.code) for corpus_id, error in answers.not_reranked
            ],
        )

    async def _corpus(self, tenant_id: str, corpus_id: str) -> Corpus:
        corpus = await self._catalog.corpus(tenant_id, corpus_id)
        if corpus is None:
            raise not_found("corpus", corpus_id)
        return corpus

    async def _answers(
        self, principal: Principal, body: RetrieveRequest, corpora: Sequence[Corpus], top_k: int
    ) -> SearchAnswers:
        """Ask all at once outside any transaction, read each within one snapshot, and rerank outside again."""
        asked = [(corpus.retriever, await self._query(principal, body, corpus, top_k)) for corpus in corpora]
        prepared = await self._search.prepare(principal.tenant_id, asked)
        async with self._services.db.tenant(principal.tenant_id, "read") as tx:
            answers = await prepared.read(tx, await self._services.read_scope(principal, RETRIEVE))
        return await prepared.rerank(answers)

    async def _query(self, principal: Principal, body: RetrieveRequest, corpus: Corpus, top_k: int) -> Query:
        scope = await self._services.read_scope(principal, RETRIEVE)
        return attrs.evolve(
            corpus.query(body.query, top_k, scope, body.min_score),
            filter=body.filter or {},
            distinct="document" if body.distinct else None,
        )

    async def _ranked(
        self, body: RetrieveRequest, answers: SearchAnswers, top_k: int
    ) -> Sequence[CorpusPassage]:
        """One corpus' answer as it is; several as one ranking."""
        if body.corpus_id is not None:
            return [
                CorpusPassage(corpus_id=body.corpus_id, passage=passage) for passage in answers.found[0][1]
            ]
        return await self._search.rank(body.query, answers, top_k, distinct=bool(body.distinct))

    def routes(self) -> tuple[AnyRoute, ...]:
        """The route."""
        return (
            untransacted_route(
                name="retrieval.retrieve", method="POST", path="/v1/retrieve",
                summary="Find passages in one corpus or several, without an answer", handler=self.retrieve,
                action=RETRIEVE, rate_class="read", audit_event=None, feature=self._features,
                response=RetrieveResponse, body=RetrieveRequest,
                errors=("NOT_FOUND", "SERVICE_UNAVAILABLE"),
            ),
        )  # fmt: skip

    async def _features(self, request: Request[RetrieveRequest, Empty]) -> tuple[str, ...]:
        tenant_id = request.principal.tenant_id
        corpora = [await self._catalog.corpus(tenant_id, corpus_id) for corpus_id in _asked(request.body)]
        return tuple(
            dict.fromkeys(f"retrieval.{corpus.retriever}" for corpus in corpora if corpus is not None)
        )


def _asked(body: RetrieveRequest) -> Sequence[str]:
    """The ids of the corpora to ask. Raises ``Problem`` 422 unless they are named in exactly one way."""
    if (body.corpus_id is None) == (body.corpus_ids is None):
        raise invalid(["body"], "needs exactly one of corpus_id and corpus_ids")
    if body.corpus_id is not None:
        return [body.corpus_id]
    ids, path = body.corpus_ids or [], ["body", "corpus_ids"]
    if len(ids) < MIN_CORPORA:
        raise invalid([*path], f"has {len(ids)} ids, {MIN_CORPORA} to {MAX_CORPORA} are taken")
    if len(set(ids)) < len(ids):
        raise invalid([*path], "names a corpus twice")
    for number, corpus_id in enumerate(ids):
        check_storable(corpus_id, [*path, number])
        if not 1 <= len(corpus_id) <= MAX_CORPUS_ID:
            raise invalid([*path, number], f"needs 1 to {MAX_CORPUS_ID} characters")
    return ids


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
    headers = None if error.retry_after_s is None else retry_after(error.retry_after_s)
    return Problem(error.code, error.message, status=503, headers=headers)


def _response(found: CorpusPassage) -> PassageResponse:
    passage = found.passage
    return from_object(PassageResponse, passage, corpus_id=found.corpus_id, metadata=dict(passage.metadata))
