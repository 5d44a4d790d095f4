"""The provider ``aws_bedrock_kb``: the operation Retrieve of a knowledge base."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.retrieval import Passage, Query, Retriever
from ragwork_hooks.services import Services
from ragwork_hooks.shares import provider_busy
from ragwork_toolkit.vendor.cancellable_threads import MAX_WAITING
from ragwork_toolkit.vendor.errors import not_understood
from ragwork_toolkit.vendor.retrieval import NothingMatches, PreparedPassages
from ragwork_toolkit.vendor.sendable_text import sendable_text

from ragwork_bedrock.calls import Calls
from ragwork_bedrock.clients import AwsAccount, AwsService, Clients
from ragwork_bedrock.config import BedrockConfig, KnowledgeBaseOptions
from ragwork_bedrock.credentials import missing, tenant_keys
from ragwork_bedrock.errors import RETRIEVAL, translated
from ragwork_bedrock.filters import expression
from ragwork_bedrock.results import passage, ranked
from ragwork_bedrock.store_access import refusal

if TYPE_CHECKING:
    from types_boto3_bedrock_agent_runtime.client import AgentsforBedrockRuntimeClient
    from types_boto3_bedrock_agent_runtime.type_defs import (
        KnowledgeBaseVectorSearchConfigurationTypeDef,
        RetrieveRequestTypeDef,
        RetrieveResponseTypeDef,
    )

#: Bounds of the service.
_MAX_QUESTION_CHARS = 20_000
_MAX_RESULTS = 100
#: Pages after which the best of what was found has to do.
_MAX_PAGES = 5
#: Passages of one document often stand together: ask for more when one of each is wanted.
_DISTINCT_FACTOR = 4


@attrs.frozen(kw_only=True)
class KnowledgeBaseSearch:
    """A query as it goes out. ``size`` is the number of candidates of a page."""

    knowledge_base_id: str
    text: str
    size: int
    top_k: int
    distinct: bool
    vector: "KnowledgeBaseVectorSearchConfigurationTypeDef"

    def request(self, token: str | None) -> "RetrieveRequestTypeDef":
        """The page after ``token``, the first one without."""
        request: RetrieveRequestTypeDef = {
            "knowledgeBaseId": self.knowledge_base_id,
            "retrievalQuery": {"text": self.text},
            "retrievalConfiguration": {
                "vectorSearchConfiguration": {**self.vector, "numberOfResults": self.size}
            },
        }
        if token is not None:
            request["nextToken"] = token
        return request


class KnowledgeBases:
    """Any tenant's knowledge bases, each under its own credentials or the operator's."""

    def __init__(
        self,
        config: BedrockConfig,
        services: Services,
        clients: "Clients[AgentsforBedrockRuntimeClient]",
        calls: Calls,
    ) -> None:
        self._config = config
        self._profile = services.profile
        self._secrets = services.secrets
        self._clients = clients
        self._calls = calls
        self._metrics = services.metrics

    @property
    def transactional(self) -> bool:
        """A knowledge base knows nothing of the caller's transaction: every passage is to be re-checked."""
        return False

    async def prepare(self, tenant_id: str, query: Query) -> PreparedPassages:
        """Ask the knowledge base. Raises ``ProviderError`` AWS_CONFIG_MISSING, AWS_AUTH_ERROR or
        AWS_RETRIEVAL_ERROR (retryable when the service is away, slow or throttles).
        """
        options = _options(query.options)
        reason = refusal(self._config, self._profile, tenant_id, options)
        if reason is not None:
            raise ProviderError("AWS_AUTH_ERROR", reason)
        try:
            search = _search(query, options)
        except NothingMatches:
            return PreparedPassages(())
        if not search.text.strip():
            return PreparedPassages(())
        with translated(RETRIEVAL):
            async with asyncio.timeout(self._config.retrieve_timeout_s), self._calls.call() as call:
                return await call.run(lambda: self._ask(search, self._account(tenant_id, options)))

    async def aclose(self) -> None:
        await self._calls.aclose()
        self._clients.close()

    def _account(self, tenant_id: str, options: KnowledgeBaseOptions) -> AwsAccount:
        reference = options.credentials_ref
        keys = None if reference is None else tenant_keys(self._secrets, tenant_id, reference)
        return self._clients.account(options.region or self._config.region, keys)

    def _ask(self, search: KnowledgeBaseSearch, account: AwsAccount) -> PreparedPassages:
        """Page after page until there is enough. Runs in a thread."""
        client = self._clients.client(account)
        found: dict[str, Passage] = {}
        token: str | None = None
        for _ in range(_MAX_PAGES):
            answer = client.retrieve(**search.request(token))
            for each in self._passages(answer):
                _keep(
                    found,
                    each,
                    each.document_id if search.distinct else f"{each.document_id} {each.chunk_id}",
                )
            token = answer.get("nextToken")
            if token is None or len(found) >= search.top_k:
                break
        return PreparedPassages(ranked(found.values(), search.top_k))

    def _passages(self, answer: "RetrieveResponseTypeDef") -> Sequence[Passage]:
        results: object = answer.get("retrievalResults")
        # The SDK gives an answer it can't read as one without results.
        if not isinstance(results, list) or not all(isinstance(each, Mapping) for each in results):
            raise not_understood(RETRIEVAL)
        found = [passage(each, self._config.document_id_key) for each in results]
        for _ in range(found.count(None)):
            self._metrics.count(
                "bedrock_results_dropped_total",
                "Results of a knowledge base without text, or of no document that could be named",
            )
        return [each for each in found if each is not None]


def _keep(found: dict[str, Passage], each: Passage, key: str) -> None:
    if key not in found or each.score > found[key].score:
        found[key] = each


def _options(options: Mapping[str, object]) -> KnowledgeBaseOptions:
    try:
        return KnowledgeBaseOptions(**options)  # type: ignore[arg-type]  # the validators judge
    except (TypeError, ValueError) as error:
        raise ProviderError("RETRIEVAL_CONFIG_INVALID", f"aws_bedrock_kb: {error}") from error


def _search(query: Query, options: KnowledgeBaseOptions) -> KnowledgeBaseSearch:
    if not options.knowledge_base_id:
        raise missing("no knowledge base: set 'knowledge_base_id' in the corpus' retrieval section")
    distinct = query.distinct == "document"
    wanted = query.top_k * _DISTINCT_FACTOR if distinct else query.top_k
    filter = expression(query.filter, options.filter_keys)
    return KnowledgeBaseSearch(
        knowledge_base_id=options.knowledge_base_id,
        text=sendable_text(query.text[:_MAX_QUESTION_CHARS]),
        size=min(max(wanted, options.number_of_results or 0), _MAX_RESULTS),
        top_k=query.top_k,
        distinct=distinct,
        vector={} if filter is None else {"filter": filter},
    )


async def _open(context: ProviderContext[BedrockConfig]) -> Retriever:
    config, services = context.config, context.services
    limit = config.max_concurrency
    calls = Calls(services.shares("retrieval", limit, waiting=MAX_WAITING, refusal=provider_busy))
    service = AwsService(
        name="bedrock-agent-runtime",
        endpoint_url=config.agent_endpoint_url,
        silence_s=config.retrieve_timeout_s,
        max_concurrency=config.max_concurrency,
    )
    clients: Clients[AgentsforBedrockRuntimeClient] = Clients(service, services.secrets, calls)
    await asyncio.to_thread(clients.warm, RETRIEVAL)
    return KnowledgeBases(config, services, clients, calls)


def _check_tenant(
    context: ProviderContext[BedrockConfig], tenant_id: str, options: KnowledgeBaseOptions
) -> str | None:
    return refusal(context.config, context.services.profile, tenant_id, options)


provider: Provider[Retriever] = Provider(
    name="aws_bedrock_kb", open=_open, options=KnowledgeBaseOptions, check_tenant=_check_tenant
)
