"""``POST /v1/retrieve``: passages without an answer."""

from collections.abc import Mapping
from typing import Final

from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.errors import Problem, ProviderError, not_found
from ragwork_hooks.http import AnyRoute, Call, NoFields, Route
from ragwork_hooks.plugin import Services
from ragwork_hooks.retrieval import Passage, Query

from ragwork_documents.catalog import Catalog
from ragwork_documents.hostile import check_storable, invalid
from ragwork_documents.shapes import PassageResponse, RetrieveRequest, RetrieveResponse

RETRIEVE: Final = Action(name="corpus.retrieve", role=Role.READER)
MAX_FILTER_KEYS: Final = 16


class Retrieval:
    """Asks a corpus' retriever within what the caller may read."""

    def __init__(self, services: Services, catalog: Catalog) -> None:
        self._services = services
        self._catalog = catalog

    async def retrieve(self, call: Call[RetrieveRequest, NoFields]) -> RetrieveResponse:
        """The best passages. Raises ``Problem`` 404, 422 for the filter, 503 when the provider fails."""
        body, principal = call.body, call.principal
        _check_filter(body.filter or {})
        corpus = await self._catalog.corpus(principal.tenant_id, body.corpus_id)
        if corpus is None:
            raise not_found("corpus", body.corpus_id)
        query = Query(
            corpus_id=corpus.id,
            text=body.query,
            top_k=body.top_k or corpus.top_k_default,
            embedder=corpus.embedder,
            filter=body.filter or {},
            distinct="document" if body.distinct else None,
            options=corpus.options,
            fallback=corpus.fallback,
            scope=self._services.read_scope(principal, RETRIEVE),
        )
        try:
            retriever = await self._services.providers.retriever(corpus.retriever)
            prepared = await retriever.prepare(principal.tenant_id, query)
            async with self._services.db.tenant(principal.tenant_id, "read") as tx:
                scope = self._services.read_scope(principal, RETRIEVE)
                passages = await prepared.passages(tx, scope)
        except ProviderError as error:
            raise _unavailable(error) from error
        return RetrieveResponse(passages=[_response(passage) for passage in passages])

    def routes(self) -> tuple[AnyRoute, ...]:
        """The route."""
        return (
            Route(
                name="retrieve", method="POST", path="/v1/retrieve",
                summary="Find passages in a corpus, without an answer", handler=self.retrieve,
                scope="tenant", action=RETRIEVE, rate_class="read", idempotency="none",
                audit_event=None, feature=self._feature, stale_reads=False, transaction="none",
                response=RetrieveResponse, body=RetrieveRequest, body_kind="json",
                errors=("NOT_FOUND", "SERVICE_UNAVAILABLE"),
            ),
        )  # fmt: skip

    async def _feature(self, call: Call[RetrieveRequest, NoFields]) -> str | None:
        corpus = await self._catalog.corpus(call.principal.tenant_id, call.body.corpus_id)
        return None if corpus is None else f"retrieval.{corpus.retriever}"


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


def _response(passage: Passage) -> PassageResponse:
    return PassageResponse(
        document_id=passage.document_id,
        chunk_id=passage.chunk_id,
        text=passage.text,
        score=passage.score,
        source=passage.source,
        metadata=dict(passage.metadata),
    )
