"""Corpora, documents, their permissions and their ingestion."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ragwork_hooks.audit import AuditLog
from ragwork_hooks.auth import Directory
from ragwork_hooks.commands import Command
from ragwork_hooks.documents import CorpusSearch, DocumentCatalog, DocumentIntake
from ragwork_hooks.operations import Advisor
from ragwork_hooks.parsing import DocumentParsing
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl
from ragwork_hooks.provider_kinds import RETRIEVAL
from ragwork_hooks.providers import ProviderMiddleware, StoredBindings
from ragwork_hooks.reranking import RERANKER
from ragwork_hooks.retrieval import Index

from ragwork_documents import commands, content_routes, document_routes
from ragwork_documents.areas import AREAS
from ragwork_documents.config import DocumentsConfig
from ragwork_documents.content_routes import DocumentContents
from ragwork_documents.corpora import corpus_routes
from ragwork_documents.corpora.bound_providers import bound
from ragwork_documents.corpora.corpus_rights import CorpusRights
from ragwork_documents.corpora.corpus_routes import Corpora
from ragwork_documents.corpora.language_advice import language_advice
from ragwork_documents.corpora.ownership import CorpusOwnership
from ragwork_documents.data_store import DocumentStore
from ragwork_documents.document_routes import Documents
from ragwork_documents.ingestion.document_service import DocumentService
from ragwork_documents.ingestion.ingest_capacity_gate import WAIT_S, WAITING, IntakeGate
from ragwork_documents.ingestion.ingestion_job import IngestionJobs
from ragwork_documents.ingestion.intake import Intake
from ragwork_documents.permissions import grant_routes
from ragwork_documents.permissions.acl import DocumentAcl
from ragwork_documents.permissions.catalog import Catalog
from ragwork_documents.permissions.permission_recheck import PermissionCheckedRetriever
from ragwork_documents.search.multi_corpus_search import MultiCorpusSearch
from ragwork_documents.search.retrieve_routes import RetrieveApi
from ragwork_documents.search.shadow import Shadowed, Shadows


class DocumentsPlugin:
    """The plugin's hook implementations."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        """See ``PluginSpec``."""
        return PluginInfo(
            name="documents",
            summary="Corpora, documents, their permissions and their ingestion",
            kinds=(RERANKER,),
            provides=(DocumentCatalog, CorpusSearch, DocumentIntake),
            requires=(Index,),
            optional=(Directory, AuditLog, DocumentParsing),
            config=DocumentsConfig,
            schema="documents",
            migrations=Path(__file__).parent / "migrations",
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[DocumentsConfig]) -> Contribution:
        """See ``PluginSpec``."""
        services, config = context.services, context.config
        index = services.use(Index)
        access = DocumentAcl(admin_bypass=config.admin_bypass_acl)
        parsing = services.use_optional(DocumentParsing)
        ingestion = IngestionJobs(services, index, parsing)
        catalog = Catalog(services)
        immediate = ingestion if config.execution_mode == "inline" else None
        document_service = DocumentService(services, index, access, immediate)
        rights = CorpusRights.of(services, index)
        search = MultiCorpusSearch(services)
        intake = Intake(
            services=services,
            config=config,
            access=access,
            parsing=parsing,
            document_service=document_service,
        )
        shadows = Shadows(services)

        def recheck(name: str, retriever: Any) -> Any:
            return PermissionCheckedRetriever(name, retriever, services.metrics)

        def shadow(name: str, retriever: Any) -> Any:
            return Shadowed(name, retriever, shadows)

        return Contribution(
            areas=AREAS,
            routes=(
                *corpus_routes.routes(
                    Corpora(services, catalog, document_service, rights, config.embedding_provider)
                ),
                *document_routes.routes(
                    Documents(services, catalog), document_service, access, parsing, config.max_bytes
                ),
                *content_routes.routes(DocumentContents(services, index), access),
                *grant_routes.routes(rights.readers, access),
                *RetrieveApi(services, catalog, search).routes(),
            ),
            admission_gates=(
                IntakeGate(services.shares("intake", config.concurrency, waiting=WAITING, wait_s=WAIT_S)),
            ),
            gates=(access, CorpusOwnership()),
            provider_middleware=(
                ProviderMiddleware(kind=RETRIEVAL, name="documents.recheck", wrap=recheck),
                ProviderMiddleware(kind=RETRIEVAL, name="documents.shadow", wrap=shadow),
            ),
            jobs=(ingestion.kind(max_attempts=config.max_attempts, concurrency=config.concurrency),),
            bindings=(StoredBindings(name="documents.corpora", read=partial(bound, services.db)),),
            advisors=(
                Advisor(name="languages", advise=partial(language_advice, services.db, services.providers)),
            ),
            data_stores=(DocumentStore(services, document_service),),
            capabilities={DocumentCatalog: catalog, CorpusSearch: search, DocumentIntake: intake},
            lifespan=shadows.tasks.lifespan,
        )

    @hookimpl
    def ragwork_commands(self) -> Sequence[Command]:
        """See ``PluginSpec``."""
        return commands.COMMANDS


plugin = DocumentsPlugin()
