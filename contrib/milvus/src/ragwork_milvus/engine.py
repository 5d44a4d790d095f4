"""Milvus as this plugin uses it: one collection per length of vectors, one partition key, the tenant."""

import asyncio
import importlib
import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from ragwork_hooks.retrieval import IndexHit, IndexSnapshot

from ragwork_milvus.client import CollectionClient, MilvusConnection
from ragwork_milvus.config import MilvusConfig
from ragwork_milvus.rows import MAX_FACTS, DocumentKey, Row, RowBatch, sheets

TOKEN_LENGTH: Final = 32
#: HNSW: links per node, breadth of the build, and least breadth of a search.
LINKS: Final = 16
BUILD_BREADTH: Final = 200
SEARCH_BREADTH: Final = 128


class Engine:
    """Puts documents into Milvus, takes them out and finds the nearest chunks."""

    def __init__(self, config: MilvusConfig) -> None:
        self._connection = MilvusConnection(config)
        self._prefix = config.collection_prefix
        self._loaded: set[str] = set()
        self._loading = asyncio.Lock()

    async def aclose(self) -> None:
        """Close the connection. Idempotent."""
        await self._connection.aclose()

    async def ping(self) -> None:
        """Raises ``ProviderError`` when Milvus does not answer."""
        await self._collections()

    async def put(self, tenant_id: str, indexed: IndexSnapshot) -> None:
        """Make Milvus hold exactly this revision of the document; only what is missing is sent.

        The new rows come before the old ones go. Rows of a later revision are left alone.
        """
        place = DocumentKey.of(tenant_id, indexed.document.document_id)
        if indexed.document.chunks:
            dimension = len(indexed.document.chunks[0].vector or ())
            name = self._name(dimension)
            await self._ensure(name, dimension)
            for sheet in sheets(place, indexed):
                await self._put(name, sheet)
        await self._delete(f"{place.expression} and revision < {indexed.revision}")

    async def remove(self, tenant_id: str, document_id: str) -> None:
        """Take every row of the document out."""
        await self._delete(DocumentKey.of(tenant_id, document_id).expression)

    async def nearest(
        self, vector: Sequence[float], expression: str, limit: int, *, by_document: bool
    ) -> Sequence[IndexHit]:
        """At most ``limit`` chunks that ``expression`` lets through, nearest first; one per document if so asked."""
        name = self._name(len(vector))
        if name not in await self._collections(known=name):
            return []
        await self._ensure(name, len(vector))
        grouping = {"group_by_field": "document"} if by_document else {}
        (rows,) = await self._connection.call(
            lambda client, timeout_s: client.search(
                name,
                data=[list(vector)],
                filter=expression,
                limit=limit,
                output_fields=["revision", "ordinal"],
                search_params={"metric_type": "IP", "params": {"ef": max(SEARCH_BREADTH, 2 * limit)}},
                # The index lags behind the documents anyway; waiting for the last write would not change that.
                consistency_level="Bounded",
                timeout=timeout_s,
                **grouping,
            )
        )
        return sorted((_hit(row) for row in rows), key=lambda hit: (-hit.score, hit.revision, hit.ordinal))

    async def _put(self, name: str, sheet: RowBatch) -> None:
        there = await self._connection.call(
            lambda client, timeout_s: client.query(name, sheet.expression, ["ordinal"], timeout=timeout_s)
        )
        for rows in sheet.batches({row["ordinal"] for row in there}):
            await self._connection.call(partial(_upsert, name, rows))

    async def _delete(self, expression: str) -> None:
        for name in await self._collections():
            await self._load(name)
            await self._connection.call(partial(_delete, name, expression))

    async def _collections(self, known: str = "") -> Sequence[str]:
        """Names of this plugin's collections; ``known`` is not asked for again once it was seen."""
        if known in self._loaded:
            return [known]
        names = await self._connection.call(
            lambda client, timeout_s: client.list_collections(timeout=timeout_s)
        )
        ours = re.compile(re.escape(self._prefix) + r"_[0-9]+")
        return sorted(name for name in names if ours.fullmatch(name))

    async def _ensure(self, name: str, dimension: int) -> None:
        async with self._loading:
            if name not in await self._collections(known=name):
                await self._connection.call(
                    lambda client, timeout_s: _create(
                        client, name, dimension, timeout_s, lite=self._connection.lite
                    )
                )
        await self._load(name)

    async def _load(self, name: str) -> None:
        if name not in self._loaded:
            await self._connection.call(
                lambda client, timeout_s: client.load_collection(name, timeout=timeout_s)
            )
            self._loaded.add(name)

    def _name(self, dimension: int) -> str:
        return f"{self._prefix}_{dimension}"


def _create(client: CollectionClient, name: str, dimension: int, timeout_s: float, *, lite: bool) -> None:
    pymilvus: Any = importlib.import_module("pymilvus")
    kinds = pymilvus.DataType
    schema = pymilvus.MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", kinds.VARCHAR, max_length=TOKEN_LENGTH, is_primary=True)
    schema.add_field("tenant", kinds.VARCHAR, max_length=TOKEN_LENGTH, is_partition_key=True)
    for field in ("document", "corpus", "embedder", "state"):
        schema.add_field(field, kinds.VARCHAR, max_length=TOKEN_LENGTH)
    schema.add_field("revision", kinds.INT64)
    schema.add_field("ordinal", kinds.INT64)
    schema.add_field(
        "facts", kinds.ARRAY, element_type=kinds.VARCHAR, max_capacity=MAX_FACTS, max_length=TOKEN_LENGTH
    )
    schema.add_field("until", kinds.JSON)
    schema.add_field("vector", kinds.FLOAT_VECTOR, dim=dimension)
    indexes = pymilvus.MilvusClient.prepare_index_params()
    if lite:
        # Its graph loses permitted rows among many others, and it can't index an array. Exact is no slower there.
        indexes.add_index("vector", index_type="FLAT", metric_type="IP")
    else:
        graph = {"M": LINKS, "efConstruction": BUILD_BREADTH}
        indexes.add_index("vector", index_type="HNSW", metric_type="IP", params=graph)
        for field in ("document", "corpus", "facts"):
            indexes.add_index(field, index_type="INVERTED")
    # Strong: what the mirror asks about its own writes must be true.
    client.create_collection(
        name, schema=schema, index_params=indexes, consistency_level="Strong", timeout=timeout_s
    )


def _upsert(name: str, rows: Sequence[Row], client: CollectionClient, timeout_s: float) -> None:
    client.upsert(name, rows, timeout=timeout_s)


def _delete(name: str, expression: str, client: CollectionClient, timeout_s: float) -> None:
    client.delete(name, filter=expression, timeout=timeout_s)


def _hit(row: Any) -> IndexHit:
    entity = row["entity"]
    score = min(1.0, max(0.0, float(row["distance"])))
    return IndexHit(revision=entity["revision"], ordinal=entity["ordinal"], score=score)
