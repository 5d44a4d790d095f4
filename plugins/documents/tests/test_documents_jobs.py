"""IngestionJobs jobs that fail, die, come late or come twice."""

import asyncio

import pytest
from ragwork_documents.ingestion.ingest_payload import DocumentGeneration, payload, targets_of
from ragwork_documents.ingestion.ingestion_job import IngestionJobs
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.governance import Subject
from ragwork_hooks.jobs import Job
from ragwork_hooks.provider_kinds import EMBEDDING
from ragwork_hooks.retrieval import Index

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Faulty:
    """The real services, whose embedder fails on a text that holds ``poison``."""

    def __init__(self, services, error, poison="poison"):
        self._services, self._error, self._poison = services, error, poison
        self.embedded = []
        self.meanwhile = None

    def __getattr__(self, name):
        return getattr(self._services, name)

    @property
    def providers(self):
        return self

    async def open(self, kind, name):
        assert kind is EMBEDDING
        self._real = await self._services.providers.open(kind, name)
        return self

    async def embed(self, texts, purpose):
        if any(self._poison in text for text in texts):
            raise self._error
        self.embedded += texts
        if self.meanwhile is not None:
            await self.meanwhile()
        return await self._real.embed(texts, purpose)


def ingestion(it, error=None, poison="poison"):
    services = it.app.platform.facades["documents"]
    faulty = Faulty(services, error, poison)
    return IngestionJobs(faulty, services.use(Index)), faulty


async def queued(it, **texts):
    """Documents as they stand before their job has run; the platform's own worker finds a stale job."""
    async with it.app.platform.parts.db.tenant(it.tenant) as tx:
        for document_id in texts:
            await tx.execute(
                "UPDATE documents.documents SET status = 'queued', generation = generation + 1 WHERE id = $1",
                document_id,
            )
        rows = await tx.fetch("SELECT id, generation FROM documents.documents ORDER BY id")
    return [DocumentGeneration(document_id=r["id"], generation=r["generation"]) for r in rows]


async def prepared(it, **texts):
    key = await it.key("ann")
    await it.corpus(key)
    for document_id, text in texts.items():
        await it.indexed(key, text, document_id)
    targets = await queued(it, **texts)
    return key, targets, job(it, targets)


def job(it, targets, attempt=1):
    return Job(
        id="j", tenant_id=it.tenant, kind="documents.ingest", payload=payload("c", targets), attempt=attempt
    )


async def statuses(it, key):
    documents = (await it.app.call("GET", "/v1/documents", key)).data
    return {d["id"]: (d["status"], d["failure_reason"]) for d in documents}


async def cut_anew(it):
    """Different chunk sizes, so that every chunk is new to the index."""
    async with it.app.platform.parts.db.tenant(it.tenant) as tx:
        await tx.execute("UPDATE documents.documents SET chunk_size = 12, chunk_overlap = 0")


async def test_one_bad_document_of_a_batch_fails_alone(it):
    key, _, work = await prepared(it, good="a fine text", bad="has poison inside")
    await cut_anew(it)
    jobs, _ = ingestion(it, ProviderError("EMBEDDING_DIMENSION_MISMATCH", "384 is not 256"))
    await jobs.run(work)
    assert await statuses(it, key) == {
        "good": ("succeeded", None),
        "bad": ("failed", "EMBEDDING_DIMENSION_MISMATCH: 384 is not 256"),
    }


async def test_a_retryable_failure_is_left_to_the_queue_and_then_fails_with_its_reason(it):
    key, targets, work = await prepared(it, bad="has poison inside")
    await cut_anew(it)
    jobs, _ = ingestion(it, ProviderError("EMBEDDING_TIMEOUT", "no answer", retryable=True))
    with pytest.raises(ProviderError):
        await jobs.run(work)
    assert (await statuses(it, key))["bad"] == ("processing", None)
    await jobs.dead(work, "no answer after 3 attempts")
    assert (await statuses(it, key))["bad"] == ("failed", "no answer after 3 attempts")
    # An operator retries the dead job once the cause is mended.
    jobs, _ = ingestion(it, poison="nothing")
    await jobs.run(job(it, targets, attempt=1))
    assert (await statuses(it, key))["bad"] == ("succeeded", None)


async def test_a_dead_batch_gives_each_document_a_job_of_its_own(it):
    key, _, work = await prepared(it, a="one text", b="two texts")
    jobs, _ = ingestion(it)
    await jobs.dead(work, "the worker died")
    for document_id in ("a", "b"):
        assert (await it.settled(key, document_id))["status"] == "succeeded"


async def test_a_job_that_comes_twice_or_late_writes_nothing(it):
    key, targets, work = await prepared(it, a="one text")
    jobs, faulty = ingestion(it)
    await asyncio.gather(jobs.run(work), jobs.run(work))
    assert await statuses(it, key) == {"a": ("succeeded", None)}
    assert len(await it.passages(key, "text")) == 1
    before = (await it.app.call("GET", "/v1/documents/a", key)).data
    await jobs.run(work)
    await jobs.run(job(it, [DocumentGeneration(document_id="a", generation=targets[0].generation - 1)]))
    await jobs.run(job(it, [DocumentGeneration(document_id="gone", generation=1)]))
    assert (await it.app.call("GET", "/v1/documents/a", key)).data == before
    assert faulty.embedded == []


def updating(it, what):
    """What changes the tenant's rows when it is called."""

    async def update():
        async with it.app.platform.parts.db.tenant(it.tenant) as tx:
            await tx.execute(f"UPDATE {what}")

    return update


async def test_a_job_that_is_overtaken_while_it_embeds_writes_nothing(it):
    key, _, work = await prepared(it, a="one text about wings")
    await cut_anew(it)
    jobs, faulty = ingestion(it)
    faulty.meanwhile = updating(it, "documents.documents SET generation = generation + 1")
    await jobs.run(work)
    assert faulty.embedded
    assert (await statuses(it, key))["a"] == ("processing", None)
    assert [p["text"] for p in await it.passages(key, "wings")] == ["one text about wings"]


async def test_a_document_that_is_erased_while_it_is_ingested_is_gone_for_good(it):
    key, _, work = await prepared(it, a="one text about wings")
    await cut_anew(it)
    store = next(s for s in it.app.platform.plan.data_stores if s.name == "documents")

    async def erase():
        async with it.app.platform.parts.db.tenant(it.tenant) as tx:
            assert await store.erase(tx, Subject(kind="user", id="ann")) == 1

    jobs, faulty = ingestion(it)
    faulty.meanwhile = erase
    await jobs.run(work)
    assert faulty.embedded
    assert await statuses(it, key) == {}
    assert await it.passages(key, "wings") == []


async def test_a_corpus_that_changes_its_embedder_meanwhile_is_asked_again(it):
    key, _, work = await prepared(it, a="one text about wings")
    await cut_anew(it)
    jobs, faulty = ingestion(it)
    faulty.meanwhile = updating(it, "documents.corpora SET embedder = 'another'")
    with pytest.raises(RuntimeError, match="another embedder"):
        await jobs.run(work)
    assert (await statuses(it, key))["a"] == ("processing", None)


async def test_a_deleted_document_does_not_come_back(it):
    key, _, work = await prepared(it, a="one text")
    async with it.app.platform.parts.db.tenant(it.tenant) as tx:
        await tx.execute("UPDATE documents.documents SET status = 'failed'")
    assert (await it.app.call("DELETE", "/v1/documents/a", key)).status == 204
    jobs, _ = ingestion(it)
    await jobs.run(work)
    assert await it.passages(key, "text") == []
    assert await statuses(it, key) == {}


async def test_only_changed_chunks_are_embedded_again(it):
    first = " ".join(f"Sentence {n} stays as it is." for n in range(200))
    key, _, work = await prepared(it, a=first)
    jobs, faulty = ingestion(it)
    await jobs.run(work)
    assert faulty.embedded == []
    changed = first + " And one more at the end."
    assert (await it.ingest(key, changed, "a", overwrite=True)).status == 202
    document = await it.settled(key, "a")
    [target] = await queued(it, a=changed)
    async with it.app.platform.parts.db.tenant(it.tenant) as tx:
        await it.app.platform.facades["documents"].use(Index).delete(tx, ["a"])
    await jobs.run(job(it, [target]))
    assert len(faulty.embedded) == document["num_chunks"]


async def test_a_lost_source_is_a_reason(it):
    key, _, work = await prepared(it, a="one text")
    async with it.app.platform.parts.db.tenant(it.tenant) as tx:
        await tx.execute("UPDATE documents.documents SET blob_key = 'documents/none'")
    jobs, _ = ingestion(it)
    await jobs.run(work)
    assert (await statuses(it, key))["a"] == ("failed", "the document's source is gone")
    answer = await it.app.call("POST", "/v1/documents/a/reindex", key)
    assert (answer.status, answer.code) == (409, "INGEST_SOURCE_MISSING")


async def test_a_grant_revoked_while_a_document_is_ingested_holds(it):
    _key, _, work = await prepared(it, a="one text")
    admin, reader = await it.key("root", "admin"), await it.key("rita", "reader")
    given = await it.grant(admin, "a", "user", "rita")
    path = f"/v1/admin/authz/documents/a/permissions/{given.data['id']}"
    jobs, _ = ingestion(it)
    await asyncio.gather(jobs.run(work), it.app.call("DELETE", path, admin))
    assert await it.passages(reader, "text") == []


async def test_payloads_hold_ids_only_and_come_back_as_they_were():
    targets = [
        DocumentGeneration(document_id='a:"b', generation=3),
        DocumentGeneration(document_id="c", generation=1),
    ]
    assert targets_of(payload("k", targets)) == ("k", targets)
