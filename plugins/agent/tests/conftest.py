"""The agent over the kernel's real pool and schema, and the least of a platform around it."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any
from uuid import uuid4

import attrs
import pytest
from ragwork_agent import plugin
from ragwork_agent.config import Config
from ragwork_agent.run.run import Run, RunInput
from ragwork_agent.run.runtime import AgentRuntime
from ragwork_documents.search.multi_corpus_search import MultiCorpusSearch
from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.authz import Everything
from ragwork_hooks.documents import Corpus, CorpusSearch
from ragwork_hooks.http import StreamEvent
from ragwork_hooks.llm import Delta, GenerationSettings, Usage
from ragwork_hooks.provider_kinds import LLM, ProviderKind
from ragwork_hooks.retrieval import Passage, Reranking
from ragwork_hooks.speech import Audio
from ragwork_kernel.data.db import Pool
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.process import CountedDatabase, CountedTransaction, RecordedEvents, ShiftedClock, sources
from ragwork_testkit.services import RecordedMetrics


class Model:
    """A chat model that says ``script``; ``gate`` holds it back before the piece of that index."""

    name = "scripted"

    def __init__(self) -> None:
        self.script: list[Delta] = [*ANSWER]
        self.requests: list[Any] = []
        self.before: Callable[[int], Awaitable[None]] | None = None
        self.closed = 0

    async def stream(self, request: Any) -> AsyncIterator[Delta]:
        self.requests.append(request)
        try:
            for index, delta in enumerate(self.script):
                if self.before:
                    await self.before(index)
                yield delta
        finally:
            self.closed += 1

    async def aclose(self) -> None: ...


ANSWER = (
    Delta(text="The gate "),
    Delta(text="is green [1]."),
    Delta(usage=Usage(input_tokens=7, output_tokens=5)),
)


class World:
    """The platform's services around one plugin, with its own index, catalogue and speech, and knobs."""

    profile = "test"

    def __init__(self, pool: Pool) -> None:
        self.db = CountedDatabase(pool)
        self.services = self
        self.providers = self.secrets = self.blob = self
        self.clock, self.metrics, self.events = ShiftedClock(), RecordedMetrics(), RecordedEvents()
        self.registry, self.rosters = self, ()
        self.model = Model()
        self.unreadable: set[str] = set()
        self.found: list[Passage] = [passage("d1", "The gate is green. Nobody waits.")]
        self.queries: list[Any] = []
        self.held_while_embedding: list[int] = []
        self.reranking: Reranking | None = None
        self.fail_reranking: Exception | None = None
        self.held_while_reranking: list[int] = []
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.fail_retrieval: Exception | None = None
        self.speech: Exception | None = None
        self.generation: GenerationSettings | None = None
        self.config = Config()

    def runtime(self, **changes: Any) -> AgentRuntime:
        self.config = attrs.evolve(self.config, **changes)
        return AgentRuntime.of(self, self.config)  # type: ignore[arg-type]

    # services
    def use(self, capability: type) -> Any:
        return MultiCorpusSearch(self) if capability is CorpusSearch else self  # type: ignore[arg-type]

    def use_optional(self, capability: type) -> None:
        return None

    async def read_scope(self, principal: Principal, action: object) -> Everything:
        return Everything()

    def key(self, name: str) -> bytes:
        return hashlib.sha256(name.encode()).digest()

    async def put(self, tx: CountedTransaction, key: str, data: bytes) -> None:
        self.blobs[tx.tenant_id, key] = data

    async def get(self, tx: CountedTransaction, key: str) -> bytes | None:
        return self.blobs.get((tx.tenant_id, key))

    async def delete(self, tx: CountedTransaction, key: str) -> None:
        self.blobs.pop((tx.tenant_id, key), None)

    # providers
    async def open(self, kind: ProviderKind[Any], name: str) -> Any:
        return self.model if kind is LLM else self

    async def synthesize(self, text: str) -> Audio:
        if self.speech:
            raise self.speech
        return Audio(data=b"ID3" + text.encode(), mime="audio/mpeg")

    async def prepare(self, tenant_id: str, query: Any) -> Any:
        self.held_while_embedding.append(self.db.under_way)
        self.queries.append(query)
        return self

    async def rerank(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        self.held_while_reranking.append(self.db.under_way)
        if self.fail_reranking:
            raise self.fail_reranking
        return [number / len(texts) for number in range(len(texts))]

    async def passages(self, tx: CountedTransaction, scope: object) -> Sequence[Passage]:
        await tx.fetchval("SELECT 1")
        if self.fail_retrieval:
            raise self.fail_retrieval
        return [p for p in self.found if p.document_id not in self.unreadable]

    # catalogue
    async def corpus(self, tenant_id: str, corpus_id: str) -> Corpus | None:
        if corpus_id == "missing":
            return None
        return Corpus(
            id=corpus_id,
            tenant_id=tenant_id,
            name=corpus_id,
            retriever="local",
            embedder="e",
            top_k_default=5,
            options={"a": 1},
            shadow="other",
            shadow_options={"b": 2},
            generation=self.generation,
            reranking=self.reranking,
        )

    async def readable(
        self, tx: CountedTransaction, principal: Principal, document_ids: Sequence[str]
    ) -> frozenset[str]:
        return frozenset(
            await tx.fetchval("SELECT $1::text[]", [d for d in document_ids if d not in self.unreadable])
        )


def passage(document_id: str, text: str, **more: Any) -> Passage:
    return Passage(
        document_id=document_id,
        chunk_id=f"{document_id}:0",
        text=text,
        score=0.5,
        source=f"{document_id}.md",
        **{"start": 100, "end": 100 + len(text), **more},
    )


@pytest.fixture
async def world(postgres: PostgresServer) -> AsyncIterator[World]:
    """Services around the agent on a fresh database, without the rest of a platform."""
    async with postgres.database(sources(plugin)) as database:
        pool = await Pool.open(database.app, size=8, statement_timeout_ms=15_000)
        try:
            yield World(pool)
        finally:
            await pool.close()


@pytest.fixture
def asked() -> Callable[..., RunInput]:
    """Questions of one tenant that no other test uses."""
    tenant = f"t{uuid4().hex}"

    def make(message: str = "Is the gate green?", **changes: Any) -> RunInput:
        user = changes.pop("user", "u1")
        base = RunInput(
            principal=Principal(
                tenant_id=changes.pop("tenant", tenant),
                user_id=user,
                credential_id="k1",
                kind="api_key",
                role=Role.READER,
            ),
            request_id=uuid4().hex,
            session_id="s1",
            corpus_ids=("c1",),
            message=message,
            top_k=5,
        )
        return attrs.evolve(base, **changes)

    return make


@pytest.fixture
def collect() -> Callable[[Run], Awaitable[list[StreamEvent]]]:
    async def all_of(run: Run) -> list[StreamEvent]:
        return [frame async for frame in run.frames()]

    return all_of
