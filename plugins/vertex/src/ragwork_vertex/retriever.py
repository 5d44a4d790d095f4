"""The provider ``gcp_vertex``: search in a data store of Vertex AI Search (Discovery Engine)."""

import asyncio
from collections.abc import Mapping, Sequence

import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.retrieval import Query, Retriever
from ragwork_hooks.services import Services
from ragwork_hooks.shares import provider_busy
from ragwork_toolkit.vendor.cancellable_threads import MAX_WAITING
from ragwork_toolkit.vendor.errors import not_understood
from ragwork_toolkit.vendor.retrieval import NothingMatches, PreparedPassages
from ragwork_toolkit.vendor.sendable_text import sendable_text

from ragwork_vertex.config import DatastoreOptions, VertexConfig
from ragwork_vertex.credentials import GoogleIdentity, Identities, missing
from ragwork_vertex.errors import RETRIEVAL, of_search, translated
from ragwork_vertex.filters import expression
from ragwork_vertex.results import Piece, pieces, ranked
from ragwork_vertex.search_clients import SearchClient, SearchClientPool, SearchTarget
from ragwork_vertex.store_access import refusal

#: A longer question is refused by the service; its beginning finds nearly the same.
_MAX_QUESTION_CHARS = 1_000
#: Bounds of the service.
_MAX_RESULTS = 100
_MAX_SEGMENTS = 10
#: Pages after which the best of what was found has to do.
_MAX_PAGES = 5
#: Chunks of one document often stand together: ask for more when one of each is wanted.
_DISTINCT_FACTOR = 4
_CHUNKS = 2


@attrs.frozen(kw_only=True)
class DatastoreSearch:
    """A query as it goes out. ``request`` is a ``SearchRequest`` without page token."""

    request: Mapping[str, object]
    endpoint: str
    top_k: int
    distinct: bool

    def page(self, token: str) -> Mapping[str, object]:
        """The request for the page after ``token``, the first one with ``""``."""
        return {**self.request, "page_token": token}


class Datastores:
    """Any tenant's data stores, each under its own credentials or the operator's."""

    def __init__(
        self, config: VertexConfig, services: Services, identities: Identities, pool: SearchClientPool
    ) -> None:
        self._config = config
        self._profile = services.profile
        self._identities = identities
        self._pool = pool
        self._metrics = services.metrics

    @property
    def transactional(self) -> bool:
        """A data store knows nothing of the caller's transaction: every passage is to be re-checked."""
        return False

    async def prepare(self, tenant_id: str, query: Query) -> PreparedPassages:
        """Ask the data store. Raises ``ProviderError`` VERTEX_RETRIEVAL_CONFIG_MISSING,
        VERTEX_RETRIEVAL_AUTH_ERROR or VERTEX_RETRIEVAL_ERROR (retryable when the service is away, slow
        or throttles).
        """
        options = _options(query.options)
        reason = refusal(self._config, self._profile, tenant_id, options)
        if reason is not None:
            raise ProviderError(RETRIEVAL.auth, reason)
        try:
            search = _search(query, options, self._config)
        except NothingMatches:
            return PreparedPassages(())
        if not query.text.strip():
            return PreparedPassages(())
        with translated(RETRIEVAL, of_search):
            async with asyncio.timeout(self._config.search_timeout_s), self._pool.call() as call:
                return await call.run(lambda: self._ask(search, self._identity(tenant_id, options)))

    async def aclose(self) -> None:
        await self._pool.aclose()

    def _identity(self, tenant_id: str, options: DatastoreOptions) -> GoogleIdentity:
        reference = options.credentials_ref
        return (
            self._identities.operator()
            if reference is None
            else self._identities.tenant(tenant_id, reference)
        )

    def _ask(self, search: DatastoreSearch, identity: GoogleIdentity) -> PreparedPassages:
        """Page after page until there is enough. Runs in a thread."""
        target = SearchTarget(search.endpoint, identity.key)
        found: list[Piece] = []
        rank, token = 0, ""
        with self._pool.client(target, lambda: _made(target, identity)) as client:
            for _ in range(_MAX_PAGES):
                answer = client.search(search.page(token), self._config.search_timeout_s)
                results = answer.get("results", [])
                if not isinstance(results, list):
                    raise not_understood(RETRIEVAL)
                for result in results:
                    found.extend(self._pieces(result, rank))
                    rank += 1
                best = ranked(found, search.top_k, distinct=search.distinct)
                token = str(answer.get("nextPageToken", ""))
                if not token or len(best) >= search.top_k:
                    break
        return PreparedPassages(best)

    def _pieces(self, result: Mapping[str, object], rank: int) -> Sequence[Piece]:
        found = pieces(result, rank)
        if not found:
            self._metrics.count(
                "vertex_results_dropped_total",
                "Results of a data store without text, or of no document that could be named",
            )
        return found


def _made(target: SearchTarget, identity: GoogleIdentity) -> SearchClient:
    from ragwork_vertex.search_connection import RestSearchClient

    return RestSearchClient(target, identity)


def _options(options: Mapping[str, object]) -> DatastoreOptions:
    try:
        return DatastoreOptions(**options)  # type: ignore[arg-type]  # the validators judge
    except (TypeError, ValueError) as error:
        raise ProviderError("RETRIEVAL_CONFIG_INVALID", f"gcp_vertex: {error}") from error


def _search(query: Query, options: DatastoreOptions, config: VertexConfig) -> DatastoreSearch:
    project, location = options.project or config.project, options.location or config.region
    if not options.resource_id:
        raise missing("no data store: set 'resource_id' in the corpus' retrieval section")
    if not project:
        raise missing("no project: set 'project' of the corpus, or GOOGLE_CLOUD_PROJECT")
    if not location:
        raise missing("no location: set 'location' of the corpus, or GOOGLE_CLOUD_LOCATION")
    distinct = query.distinct == "document"
    wanted = query.top_k * (_DISTINCT_FACTOR if distinct and options.content == "chunks" else 1)
    return DatastoreSearch(
        request={
            "serving_config": f"projects/{project}/locations/{location}/collections/default_collection"
            f"/dataStores/{options.resource_id}/servingConfigs/default_config",
            "query": sendable_text(query.text[:_MAX_QUESTION_CHARS]),
            "page_size": min(max(wanted, options.number_of_results or 0), _MAX_RESULTS),
            "filter": expression(query.filter, options.filter_keys),
            "content_search_spec": _content(options.content, 1 if distinct else query.top_k),
        },
        endpoint=config.search_endpoint_url or _endpoint(location),
        top_k=query.top_k,
        distinct=distinct,
    )


def _content(kind: str, pieces_of_a_document: int) -> Mapping[str, object]:
    match kind:
        case "chunks":
            return {"search_result_mode": _CHUNKS}
        case "snippets":
            return {"snippet_spec": {"return_snippet": True}}
    return {
        "extractive_content_spec": {
            "max_extractive_segment_count": min(pieces_of_a_document, _MAX_SEGMENTS),
            "return_extractive_segment_score": True,
        }
    }


def _endpoint(location: str) -> str:
    host = "discoveryengine.googleapis.com"
    return f"https://{host}" if location == "global" else f"https://{location}-{host}"


async def _open(context: ProviderContext[VertexConfig]) -> Retriever:
    config, services = context.config, context.services
    await asyncio.to_thread(_warm)
    identities = Identities(services.secrets, config.credentials_file)
    limit = config.search_max_concurrency
    places = services.shares("searches", limit, waiting=MAX_WAITING, refusal=provider_busy)
    return Datastores(config, services, identities, SearchClientPool(places))


def _warm() -> None:
    """Import the SDK: that takes seconds."""
    import ragwork_vertex.search_connection  # noqa: F401


def _check_tenant(
    context: ProviderContext[VertexConfig], tenant_id: str, options: DatastoreOptions
) -> str | None:
    return refusal(context.config, context.services.profile, tenant_id, options)


provider: Provider[Retriever] = Provider(
    name="gcp_vertex", open=_open, options=DatastoreOptions, check_tenant=_check_tenant
)
