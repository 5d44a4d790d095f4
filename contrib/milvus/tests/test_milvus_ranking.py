"""What is found: as good as an exact scan, and exactly what the scope allows."""

import random
import socket
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import grpc
import numpy as np
import pytest
from pymilvus.exceptions import MilvusException
from ragwork_hooks import authz
from ragwork_hooks.errors import ConfigError, ProviderError
from ragwork_milvus.client import address
from ragwork_milvus.config import MilvusConfig
from ragwork_milvus.engine import Engine
from ragwork_milvus.expression import condition, within
from ragwork_testkit.retrieval import FUTURE, OTHER, PAST, TENANT

READERS = ("user:ann", "group:g", "role:reader")


async def test_the_nearest_are_those_of_an_exact_scan_with_and_without_rights(stack: Any) -> None:
    rng, bench = np.random.default_rng(7), stack.bench
    centres = rng.normal(size=(20, 256))
    vectors = centres[rng.integers(0, 20, 1500)] + 0.5 * rng.normal(size=(1500, 256))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for n in range(15):
        readers: Mapping[str, str | None] = {"user:ann": None} if n == 3 else {"user:bob": None}
        document = bench.document(f"d{n}", *(f"chunk {n} {m}" for m in range(100)), readers=readers)
        chunks = [attrs.evolve(c, vector=vectors[100 * n + c.ordinal].tolist()) for c in document.chunks]
        await bench.add(attrs.evolve(document, chunks=chunks))
    permitted = np.arange(1500) // 100 == 3
    for scope, allowed in (
        (authz.Everything(), np.ones(1500, bool)),
        (authz.ReadableBy(frozenset({"user:ann"})), permitted),
    ):
        shares = []
        for question in ("tide gate", "lock", "chunk 3 4", "harbour wall at night"):
            found = {p.text for p in await bench.find(question, scope, top_k=20)}
            nearness = np.where(allowed, vectors @ np.array(bench.embedder.vector(question)), -9)
            best = {f"chunk {i // 100} {i % 100}" for i in np.argsort(-nearness)[:20]}
            shares.append(len(found & best) / 20)
        assert min(shares) >= 0.95, shares


def random_scope(rng: random.Random, depth: int = 3) -> authz.ReadScope:
    leaves: list[authz.ReadScope] = [
        authz.Everything(), authz.Nothing(), authz.OwnedBy(rng.choice("xy")),
        authz.ReadableBy(frozenset(rng.sample(READERS, rng.randrange(3)))),
        authz.LabelIn("level", frozenset(rng.sample(("open", "shut"), rng.randrange(3)))),
    ]  # fmt: skip
    if depth == 0:
        return rng.choice(leaves)
    parts = tuple(random_scope(rng, depth - 1) for _ in range(rng.randrange(3)))
    return rng.choice(
        [*leaves, authz.AllOf(parts), authz.AnyOf(parts), authz.Not(random_scope(rng, depth - 1))]
    )


async def test_random_scopes_find_all_that_the_local_index_finds_and_nothing_else(stack: Any) -> None:
    rng, bench = random.Random(11), stack.bench
    for n in range(24):
        readers = {r: rng.choice((None, PAST, FUTURE)) for r in rng.sample(READERS, rng.randrange(4))}
        labels = {"level": rng.choice(("open", "shut"))} if rng.random() < 0.7 else {}
        await bench.add(
            bench.document(f"d{n}", f"tide {n}", owner=rng.choice("xy"), labels=labels, readers=readers)
        )
    await stack.settled()
    everything = await bench.find("tide", top_k=50, scope=authz.Everything())
    assert len(everything) == 24
    for _ in range(60):
        scope = random_scope(rng)
        async with stack.pool.tenant(TENANT, "read") as tx:
            hits = await stack.engine.nearest(
                bench.embedder.vector("tide"), "ordinal >= 0", 50, by_document=False
            )
            expected = {p.document_id for p in await stack.source.passages(tx, scope, hits)}
        assert await bench.found("tide", scope, top_k=50) == expected, scope


async def test_a_grant_that_ends_while_it_stands_in_milvus_is_ended_by_the_database(stack: Any) -> None:
    bench = stack.bench
    soon = datetime.now(UTC) + timedelta(seconds=1.2)
    await bench.add(bench.document("a", "tide", readers={"user:ann": soon.isoformat()}))
    assert await bench.found("tide") == {"a"}
    time.sleep(max(0.0, (soon - datetime.now(UTC)).total_seconds()) + 0.05)  # noqa: ASYNC251 -- nothing else runs
    assert await bench.found("tide") == set()


@pytest.mark.parametrize("distinct", [None, "document"])
async def test_hits_of_versions_that_are_gone_take_no_places(stack: Any, distinct: Any) -> None:
    bench = stack.bench
    await bench.add(bench.document("d0", *(f"tide gate {n}" for n in range(40))))
    await stack.settled()
    async with stack.pool.tenant(TENANT) as tx:
        old = await stack.source.document(tx, "d0")
    await bench.add(*(bench.document(f"d{n}", f"tide {n}", version=2) for n in range(10)))
    await stack.settled()
    await stack.engine.put(TENANT, old)
    found = await bench.find("tide gate", top_k=10, distinct=distinct)
    assert {p.document_id for p in found} >= {f"d{n}" for n in range(1, 10)}
    assert {p.version for p in found} == {2}


async def test_other_tenants_corpora_and_embedders_take_no_places(stack: Any) -> None:
    bench = stack.bench
    nearer = [f"tide gate {n}" for n in range(100)]
    await bench.add(bench.document("theirs", *nearer), tenant=OTHER)
    await bench.add(bench.document("elsewhere", *nearer, corpus_id="d"))
    await bench.add(attrs.evolve(bench.document("foreign", *nearer), embedder="another"))
    await bench.add(*(bench.document(f"d{n}", f"tide {n}") for n in range(10)))
    assert await bench.found("tide gate", top_k=10) == {f"d{n}" for n in range(10)}


def test_an_expression_holds_no_text_of_a_caller() -> None:
    hostile = '"] ) or ("a" == "a'
    scope = authz.AllOf(
        (
            authz.ReadableBy(frozenset({hostile})),
            authz.OwnedBy(hostile),
            authz.LabelIn(hostile, frozenset({hostile})),
        )
    )
    expression = condition(scope, {hostile: hostile}, now=0.0)
    assert isinstance(expression, str)
    assert "a == " not in expression
    assert '"a"' not in expression


@pytest.mark.parametrize(
    "scope",
    [
        authz.Nothing(),
        authz.AnyOf(()),
        authz.ReadableBy(frozenset()),
        authz.AllOf((authz.Nothing(), authz.Everything())),
    ],
)
def test_a_scope_that_allows_nothing_needs_no_call(scope: authz.ReadScope) -> None:
    assert within(scope, 0.0) is False


async def test_a_milvus_that_is_away_is_a_retryable_error() -> None:
    engine = Engine(MilvusConfig(uri="http://127.0.0.1:1", timeout_s=0.3))
    with pytest.raises(ProviderError) as refused:
        await engine.nearest([1.0, 0.0], "ordinal >= 0", 1, by_document=False)
    assert (refused.value.code, refused.value.retryable) == ("INTEGRATION_UNAVAILABLE", True)
    await engine.aclose()


async def test_a_milvus_that_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        engine = Engine(MilvusConfig(uri=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.3))
        started = time.monotonic()
        with pytest.raises(ProviderError) as refused:
            await engine.ping()
        assert refused.value.code == "INTEGRATION_UNAVAILABLE"
        assert time.monotonic() - started < 5
    await engine.aclose()


@pytest.mark.parametrize(
    ("code", "expected", "retryable"),
    [
        (1400, "RETRIEVAL_ERROR", False),
        (grpc.StatusCode.UNAUTHENTICATED, "RETRIEVAL_ERROR", False),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "INTEGRATION_UNAVAILABLE", True),
        (8, "INTEGRATION_UNAVAILABLE", True),
        (1100, "RETRIEVAL_ERROR", False),
    ],
)
async def test_each_error_of_the_engine_has_a_code(
    stack: Any, monkeypatch: pytest.MonkeyPatch, code: Any, expected: str, retryable: bool
) -> None:
    def fails(**_: object) -> None:
        raise MilvusException(code, "with the caller's text in it")

    await stack.engine.ping()
    monkeypatch.setattr(await stack.engine._connection._client.get(), "list_collections", fails)
    with pytest.raises(ProviderError) as refused:
        await stack.engine.ping()
    assert (refused.value.code, refused.value.retryable) == (expected, retryable)
    assert "text" not in refused.value.message


async def test_what_milvus_refuses_is_a_typed_error(stack: Any) -> None:
    await stack.bench.add(stack.bench.document("a", "tide"))
    await stack.settled()
    with pytest.raises(ProviderError) as refused:
        await stack.engine.nearest(
            stack.bench.embedder.vector("x"), "no such field == 1", 1, by_document=False
        )
    assert (refused.value.code, refused.value.retryable) == ("RETRIEVAL_ERROR", False)


@pytest.mark.parametrize("uri", ["localhost:19530", "postgres://x/y.db", "milvus.sqlite"])
def test_a_uri_that_is_no_address_is_refused_with_the_fix(uri: str) -> None:
    with pytest.raises(ConfigError, match="MILVUS_URI"):
        address(uri)
