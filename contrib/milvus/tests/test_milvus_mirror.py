"""The mirror follows the index: replaced, deleted, repeated, late and interrupted."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
import pytest
from ragwork_hooks.authz import Everything
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.events import Delivery, Event
from ragwork_hooks.retrieval import INDEX_CHANGED, IndexSnapshot
from ragwork_milvus.rows import MAX_FACTS, DocumentKey
from ragwork_testkit.retrieval import OTHER, TENANT, WordEmbedder


async def stored(
    stack: Any, document_id: str, *, tenant: str = TENANT, dimension: int = 256
) -> Sequence[Mapping[str, Any]]:
    """The document's rows in Milvus."""
    expression = DocumentKey.of(tenant, document_id).expression
    rows: Sequence[Mapping[str, Any]] = await stack.engine._connection.call(
        lambda client, timeout: client.query(f"ragwork_{dimension}", expression, ["*"], timeout=timeout)
    )
    return rows


async def kept(stack: Any, document_id: str) -> IndexSnapshot:
    async with stack.pool.tenant(TENANT) as tx:
        indexed: IndexSnapshot | None = await stack.source.document(tx, document_id)
    assert indexed is not None
    return indexed


async def delete(stack: Any, *ids: str) -> None:
    async with stack.pool.tenant(TENANT) as tx:
        await stack.bench.index.delete(tx, ids)


async def texts(stack: Any, question: str = "tide") -> list[str]:
    return sorted(p.text for p in await stack.bench.find(question, Everything(), top_k=50))


def delivery(document_id: str) -> Delivery:
    event = Event(type=INDEX_CHANGED, key=document_id, payload={"document_id": document_id})
    return Delivery(id=1, tenant_id=TENANT, event=event, attempt=1)


async def test_a_new_version_leaves_no_row_of_the_old_one(stack: Any) -> None:
    bench = stack.bench
    await bench.add(bench.document("a", "old tide", "old gate", "old lock"))
    await bench.add(bench.document("a", "new tide", version=2))
    assert await texts(stack) == ["new tide"]
    (row,) = await stored(stack, "a")
    assert row["revision"] == (await kept(stack, "a")).revision


async def test_a_deleted_document_leaves_no_row_and_a_late_event_brings_none_back(stack: Any) -> None:
    bench = stack.bench
    await bench.add(bench.document("a", "tide"), bench.document("b", "tide b"))
    await stack.settled()
    await delete(stack, "a")
    await stack.settled()
    assert await stored(stack, "a") == []
    await stack.mirror.deliver(delivery("a"))
    assert await stored(stack, "a") == []
    assert await texts(stack) == ["tide b"]


async def test_an_event_that_comes_again_changes_nothing(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = stack.bench
    await bench.add(bench.document("a", *(f"tide {n}" for n in range(450))))
    await stack.settled()
    before = await stored(stack, "a")
    client = await stack.engine._connection._client.get()
    monkeypatch.setattr(client, "upsert", lambda *_, **__: pytest.fail("sent what is there"))
    await asyncio.gather(*(stack.mirror.deliver(delivery("a")) for _ in range(3)))
    assert await stored(stack, "a") == before


async def test_an_interrupted_copy_goes_on_with_what_is_missing(
    stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = stack.bench
    await bench.add(bench.document("a", *(f"tide {n}" for n in range(450))))
    await stack.settled()
    await stack.engine._delete(f"{DocumentKey.of(TENANT, 'a').expression} and ordinal == 250")
    client, sent = await stack.engine._connection._client.get(), []
    upsert = client.upsert
    monkeypatch.setattr(
        client, "upsert", lambda name, data, **more: (sent.append(len(data)), upsert(name, data, **more))
    )
    await stack.mirror.deliver(delivery("a"))
    assert sent == [1]
    assert len(await stored(stack, "a")) == 450


async def test_an_older_version_written_late_is_never_found_and_goes_with_the_next_event(stack: Any) -> None:
    bench = stack.bench
    await bench.add(bench.document("a", "old tide", "old gate"))
    await stack.settled()
    old = await kept(stack, "a")
    await bench.add(bench.document("a", "new tide", version=2))
    await stack.settled()
    await stack.engine.put(TENANT, old)
    assert len(await stored(stack, "a")) == 3
    assert await texts(stack, "old gate") == ["new tide"]
    await stack.mirror.deliver(delivery("a"))
    assert [row["revision"] for row in await stored(stack, "a")] == [(await kept(stack, "a")).revision]


async def test_a_document_made_anew_is_found_although_its_version_is_smaller(stack: Any) -> None:
    bench = stack.bench
    await bench.add(bench.document("a", "old tide", version=9))
    await stack.settled()
    await delete(stack, "a")
    await bench.add(bench.document("a", "new tide", version=1))
    assert await texts(stack) == ["new tide"]
    assert len(await stored(stack, "a")) == 1


async def test_events_keep_their_order_while_milvus_fails(
    stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, put, failures = stack.bench, stack.engine.put, iter(range(2))

    async def failing(tenant_id: str, indexed: IndexSnapshot) -> None:
        if next(failures, None) is not None:
            raise ProviderError("INTEGRATION_UNAVAILABLE", "away", retryable=True)
        await put(tenant_id, indexed)

    monkeypatch.setattr(stack.engine, "put", failing)
    for version in range(1, 6):
        await bench.add(bench.document("a", f"tide {version}", version=version))
    await delete(stack, "a")
    await bench.add(bench.document("a", "tide last", version=1), bench.document("b", "tide b"))
    assert await texts(stack) == ["tide b", "tide last"]
    assert len(await stored(stack, "a")) == 1
    assert await stack.dead() == []


async def test_a_copy_that_outlives_its_delivery_is_waited_for(
    stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, put, going = stack.bench, stack.engine.put, asyncio.Event()
    await bench.add(bench.document("a", "tide"))
    await stack.settled()
    running = 0

    async def slow(tenant_id: str, indexed: IndexSnapshot) -> None:
        nonlocal running
        running += 1
        assert running == 1, "two copies of one document at once"
        await going.wait()
        await put(tenant_id, indexed)
        running -= 1

    monkeypatch.setattr(stack.engine, "put", slow)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await stack.mirror.deliver(delivery("a"))
    again = [asyncio.create_task(stack.mirror.deliver(delivery("a"))) for _ in range(3)]
    await asyncio.sleep(0.05)
    going.set()
    await asyncio.gather(*again)
    await stack.mirror.drain()
    assert running == 0


async def test_an_embedder_of_another_length_leaves_nothing_in_the_old_collection(stack: Any) -> None:
    bench = stack.bench
    await bench.add(bench.document("a", "tide"))
    await stack.settled()
    longer = attrs.evolve(bench, embedder=WordEmbedder(384))
    await bench.add(longer.document("a", "tide again", version=2))
    await stack.settled()
    assert await stored(stack, "a") == []
    assert len(await stored(stack, "a", dimension=384)) == 1


async def test_a_document_that_lost_its_chunks_leaves_no_row(stack: Any) -> None:
    bench = stack.bench
    await bench.add(bench.document("a", "tide"))
    await stack.settled()
    await bench.add(bench.document("a", version=2))
    await stack.settled()
    assert await stored(stack, "a") == []


async def test_a_change_of_readers_keeps_the_revision(stack: Any) -> None:
    bench = stack.bench
    await bench.add(bench.document("a", "tide"))
    await stack.settled()
    (before,) = await stored(stack, "a")
    async with stack.pool.tenant(TENANT) as tx:
        await bench.index.set_readers(tx, "a", {"group:g": "2901-01-01T00:00:00+00:00"})
    await stack.settled()
    (after,) = await stored(stack, "a")
    assert after["revision"] == before["revision"]
    assert after["facts"] != before["facts"]
    end = datetime.fromisoformat("2901-01-01T00:00:00+00:00").timestamp()
    assert list(after["until"].values()) == [end]


async def test_what_was_there_before_the_plugin_is_copied_page_by_page(
    stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragwork_milvus.mirror._PAGE", 3)
    bench = stack.bench
    await bench.add(*(bench.document(f"d{n}", f"tide {n}") for n in range(7)))
    await bench.add(bench.document("d1", "tide theirs"), tenant=OTHER)
    await stack.settled()
    await stack.engine._delete("ordinal >= 0")
    assert await texts(stack) == []
    assert await stack.mirror.copy_all(TENANT) == 7
    assert await texts(stack) == [f"tide {n}" for n in range(7)]
    assert await stored(stack, "d1", tenant=OTHER) == []


async def test_milvus_holds_no_word_of_a_document(stack: Any) -> None:
    bench = stack.bench
    document = bench.document(
        "a-secret", "the secret tide", owner="secret", metadata={"secret": "secret"},
        labels={"secret": "secret"}, readers={"user:secret": None, "group:secret": "2901-01-01T00:00:00+00:00"},
    )  # fmt: skip
    await bench.add(document)
    await stack.settled()
    (row,) = await stored(stack, "a-secret")
    assert "secret" not in repr({**row, "vector": None})


async def test_a_document_with_more_facts_than_milvus_holds_says_so(stack: Any) -> None:
    readers = {f"user:{n}": None for n in range(MAX_FACTS + 1)}
    await stack.bench.add(stack.bench.document("b", "tide"))
    await stack.settled()
    document = attrs.evolve((await kept(stack, "b")).document, readers=readers)
    with pytest.raises(ProviderError, match="Milvus holds 4096"):
        await stack.engine.put(TENANT, IndexSnapshot(revision=1, document=document))
