"""Corpora: what is stored of them and the routes that read and change them."""

from collections.abc import Mapping, Sequence
from typing import Final

import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import readers_of
from ragwork_hooks.errors import Problem, not_found, retry_after
from ragwork_hooks.http import AnyRoute, Empty, Request, Response
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Row, Transaction
from ragwork_toolkit.routes import read_route, write_route
from ragwork_toolkit.rows import from_row

from ragwork_documents.corpora import ownership
from ragwork_documents.corpora.corpus_config import CorpusBinding, bind, check_embedder
from ragwork_documents.corpora.corpus_rights import CorpusRights
from ragwork_documents.corpora.generation_config import generation_json
from ragwork_documents.ingestion.document_service import RETRY_AFTER_S, DocumentService
from ragwork_documents.permissions import acl
from ragwork_documents.permissions.catalog import Catalog
from ragwork_documents.schemas import CorpusCreateRequest, CorpusPatchRequest, CorpusResponse, ListQuery

#: Documents that a corpus may hold when it is deleted with them in one transaction.
MAX_DELETED_WITH_CORPUS: Final = 1_000

_COLUMNS: Final = "id, tenant_id, name, owner, provider_config, created_at"


class Corpora:
    """Reads and changes corpora inside the caller's transaction."""

    def __init__(
        self,
        services: Services,
        catalog: Catalog,
        document_service: DocumentService,
        rights: CorpusRights,
        embedder: str,
    ) -> None:
        self._services = services
        self._catalog = catalog
        self._document_service = document_service
        self._rights = rights
        self._embedder = embedder

    async def page(self, tx: Transaction, limit: int, offset: int) -> list[CorpusResponse]:
        """The tenant's corpora, oldest first."""
        rows = await tx.fetch(
            f"SELECT {_COLUMNS} FROM documents.corpora WHERE tenant_id = ragwork.tenant()"  # noqa: S608
            " ORDER BY created_at, id LIMIT $1 OFFSET $2",
            limit,
            offset,
        )
        return [_response(row) for row in rows]

    async def get(self, tx: Transaction, corpus_id: str) -> CorpusResponse:
        """One corpus. Raises ``Problem`` 404."""
        row = await tx.fetchrow(
            f"SELECT {_COLUMNS} FROM documents.corpora"  # noqa: S608
            " WHERE tenant_id = ragwork.tenant() AND id = $1",
            corpus_id,
        )
        if row is None:
            raise not_found("corpus", corpus_id)
        return _response(row)

    async def create(
        self, tx: Transaction, principal: Principal, request: CorpusCreateRequest
    ) -> CorpusResponse:
        """A new corpus, the principal's. Raises ``Problem`` 409 when the id is taken, 422 for a wrong
        configuration.
        """
        binding = await bind(request.provider_config_json, self._services.providers, tx.tenant_id)
        embedder = binding.embedder or check_embedder(
            self._embedder, self._services.providers, ["settings", "EMBEDDING_PROVIDER"]
        )
        row = await tx.fetchrow(
            f"""INSERT INTO documents.corpora (tenant_id, id, name, owner, provider_config, retriever,
                embedder, top_k_default, options, fallback, shadow, shadow_options, generation, reranking,
                default_readers)
            VALUES (ragwork.tenant(), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, '{{}}')
            ON CONFLICT (tenant_id, id) DO NOTHING RETURNING {_COLUMNS}""",  # noqa: S608
            request.id,
            request.name,
            ownership.owner_of(principal),
            *_values(binding, embedder),
        )
        if row is None:
            raise Problem("CONFLICT", f"corpus {request.id!r} exists already")
        await self._rights.set_readers(tx, principal, row, binding)
        await self._catalog.forget(tx, request.id)
        return _response(row)

    async def patch(
        self, tx: Transaction, principal: Principal, corpus_id: str, request: CorpusPatchRequest
    ) -> CorpusResponse:
        """Change name, configuration or owner; another embedder queues every document of the corpus anew.

        Raises ``Problem`` 404, 422, 403 for what is not the principal's to change.
        """
        row = await self._locked(tx, corpus_id, "NO KEY UPDATE")
        if request.owner is not None:
            await self._rights.hand_over(tx, principal, row, request.owner)
        if request.provider_config_json is not None:
            await self._configure(tx, principal, row, request.provider_config_json)
        changed = await tx.fetchrow(
            f"""UPDATE documents.corpora SET name = COALESCE($2, name), updated_at = now()
            WHERE tenant_id = ragwork.tenant() AND id = $1 RETURNING {_COLUMNS}""",  # noqa: S608
            corpus_id,
            request.name,
        )
        if changed is None:
            raise not_found("corpus", corpus_id)
        await self._catalog.forget(tx, corpus_id)
        return _response(changed)

    async def _configure(
        self, tx: Transaction, principal: Principal, row: Row, config: Mapping[str, object]
    ) -> None:
        """Bind the locked corpus anew; a configuration that says what is in force changes nothing."""
        binding = await bind(config, self._services.providers, tx.tenant_id)
        embedder = binding.embedder or row["embedder"]
        if binding.json == row["provider_config"] and embedder == row["embedder"]:
            return
        await self._rights.require(tx, principal, ownership.CONFIGURE, row)
        await tx.execute(
            """UPDATE documents.corpora SET provider_config = $2, retriever = $3, embedder = $4,
                top_k_default = $5, options = $6, fallback = $7, shadow = $8, shadow_options = $9, generation = $10,
                reranking = $11
            WHERE tenant_id = ragwork.tenant() AND id = $1""",
            row["id"],
            *_values(binding, embedder),
        )
        await self._rights.set_readers(tx, principal, row, binding)
        await self._rights.record_binding(tx, principal, row, binding)
        if embedder != row["embedder"]:
            await self._document_service.requeue_corpus(tx, row["id"])

    async def _locked(self, tx: Transaction, corpus_id: str, strength: str) -> Row:
        row = await tx.fetchrow(
            f"""SELECT {_COLUMNS}, embedder FROM documents.corpora
            WHERE tenant_id = ragwork.tenant() AND id = $1 FOR {strength}""",  # noqa: S608
            corpus_id,
        )
        if row is None:
            raise not_found("corpus", corpus_id)
        return row

    async def delete(self, tx: Transaction, principal: Principal, corpus_id: str) -> None:
        """Delete a corpus of the caller's with its documents, if the caller may delete each of them.

        Raises ``Problem`` 404, 403 for a corpus or document out of the caller's reach, 409 while one is being
        ingested or when there are more than one transaction should delete.
        """
        row = await self._locked(tx, corpus_id, "UPDATE")
        await self._rights.require(tx, principal, ownership.DELETE, row)
        documents = await tx.fetch(
            f"""SELECT d.id, d.owner, d.labels, d.status, {acl.GRANTED} AS granted
            FROM documents.documents d WHERE d.tenant_id = ragwork.tenant() AND d.corpus_id = $2
            ORDER BY d.id LIMIT {MAX_DELETED_WITH_CORPUS + 1} FOR UPDATE OF d""",  # noqa: S608
            sorted(readers_of(principal)),
            corpus_id,
        )
        await self._check_deletable(tx, principal, documents)
        if documents:
            await self._document_service.erase(tx, [row["id"] for row in documents])
        await tx.execute(
            "DELETE FROM documents.corpora WHERE tenant_id = ragwork.tenant() AND id = $1", corpus_id
        )
        await self._catalog.forget(tx, corpus_id)

    async def _check_deletable(self, tx: Transaction, principal: Principal, documents: Sequence[Row]) -> None:
        for document in documents:
            await self._document_service.authorize(tx, principal, acl.DELETE, document)
        if len(documents) > MAX_DELETED_WITH_CORPUS:
            raise Problem(
                "CONFLICT",
                f"the corpus holds more than {MAX_DELETED_WITH_CORPUS} documents: delete documents first",
            )
        if any(document["status"] in ("queued", "processing") for document in documents):
            raise Problem(
                "INGEST_IN_PROGRESS",
                "a document of the corpus is being ingested; try again when it is done",
                headers=retry_after(RETRY_AFTER_S),
            )


def routes(corpora: Corpora) -> tuple[AnyRoute, ...]:
    """The routes under ``/v1/corpora``."""

    async def list_(request: Request[Empty, ListQuery]) -> list[CorpusResponse]:
        return await corpora.page(request.tx, request.query.limit, request.query.offset)

    async def get(request: Request[Empty, Empty]) -> CorpusResponse:
        return await corpora.get(request.tx, request.path["corpus_id"])

    async def create(request: Request[CorpusCreateRequest, Empty]) -> Response:
        made = await corpora.create(request.tx, request.principal, request.body)
        return Response(data=made, status=201, audit=_note(made.id))

    async def patch(request: Request[CorpusPatchRequest, Empty]) -> Response:
        patched = await corpora.patch(request.tx, request.principal, request.path["corpus_id"], request.body)
        return Response(data=patched, audit=_note(patched.id))

    async def delete(request: Request[Empty, Empty]) -> Response:
        await corpora.delete(request.tx, request.principal, request.path["corpus_id"])
        return Response(status=204, audit=_note(request.path["corpus_id"]))

    return (
        read_route(
            name="corpora.list", path="/v1/corpora", summary="List the tenant's corpora", handler=list_,
            action=ownership.READ, response=list[CorpusResponse], query=ListQuery, legacy=True,
        ),
        read_route(
            name="corpora.get", path="/v1/corpora/{corpus_id}", summary="One corpus", handler=get,
            action=ownership.READ, response=CorpusResponse, errors=("NOT_FOUND",), legacy=True,
        ),
        write_route(
            name="corpora.create", method="POST", path="/v1/corpora", summary="Create a corpus",
            handler=create, action=ownership.WRITE, audit_event="corpora.created", idempotency="accepted",
            response=CorpusResponse, body=CorpusCreateRequest, status=201, errors=("CONFLICT",),
        ),
        write_route(
            name="corpora.patch", method="PATCH", path="/v1/corpora/{corpus_id}",
            summary="Change a corpus' name, provider configuration or owner", handler=patch,
            action=ownership.WRITE, audit_event="corpora.updated", idempotency="accepted",
            feature=_patch_feature, response=CorpusResponse, body=CorpusPatchRequest,
            errors=("AUTHZ_DENIED", "NOT_FOUND", "FEATURE_NOT_ENABLED"), legacy=True,
        ),
        write_route(
            name="corpora.delete", method="DELETE", path="/v1/corpora/{corpus_id}",
            summary="Delete a corpus with its documents", handler=delete, action=ownership.DELETE,
            audit_event="corpora.deleted", idempotency="accepted", response=None, status=204,
            errors=("AUTHZ_DENIED", "CONFLICT", "INGEST_IN_PROGRESS", "NOT_FOUND"),
        ),
    )  # fmt: skip


async def _patch_feature(request: Request[CorpusPatchRequest, Empty]) -> str | None:
    """Renaming is free; changing the provider configuration is a feature of the plan."""
    return None if request.body.provider_config_json is None else "corpora_patch_provider_config"


def _values(binding: CorpusBinding, embedder: str) -> tuple[object, ...]:
    return (
        dict(binding.json),
        binding.retriever,
        embedder,
        binding.top_k_default,
        dict(binding.options),
        list(binding.fallback),
        binding.shadow,
        dict(binding.shadow_options),
        None if binding.generation is None else generation_json(binding.generation),
        None if binding.reranking is None else attrs.asdict(binding.reranking),
    )


def _note(corpus_id: str) -> AuditDetails:
    return AuditDetails(resource_type="corpus", resource_id=corpus_id)


def _response(row: Row) -> CorpusResponse:
    return from_row(CorpusResponse, row, provider_config_json=row["provider_config"])
