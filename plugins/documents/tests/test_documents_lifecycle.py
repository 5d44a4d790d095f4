"""A document's life over HTTP: accepted, indexed, repeated, replaced, cut anew, deleted."""

import asyncio
import json

import aiohttp
import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")

LONG = " ".join(f"Sentence number {n} speaks of topic {n % 7}." for n in range(120))


async def test_a_text_is_accepted_indexed_found_and_deleted(it):
    key = await it.key("ann")
    await it.corpus(key)
    answer = await it.ingest(key, LONG, "d1", metadata_json={"labels": {"team": "x"}, "year": 3})
    assert answer.status == 202
    assert answer.data["status_url"] == "/v1/documents/d1"
    assert answer.data["job_id"]
    document = await it.settled(key, "d1")
    assert document["status"] == "succeeded"
    assert document["num_chunks"] == document["progress"]["chunks_total"] > 3
    assert document["progress"]["phase"] == "done"
    assert document["created_at"].endswith("+00:00")
    found = await it.passages(key, "topic 3", top_k=2)
    assert [p["document_id"] for p in found] == ["d1", "d1"]
    assert found[0]["metadata"]["year"] == 3
    assert (await it.app.call("DELETE", "/v1/documents/d1", key)).status == 204
    assert await it.passages(key, "topic 3") == []
    assert (await it.app.call("GET", "/v1/documents/d1", key)).status == 404


async def test_the_same_again_is_no_new_work_and_other_content_needs_overwrite(it):
    key = await it.key("ann")
    await it.corpus(key)
    await it.corpus(key, "other")
    first = await it.indexed(key, "first text", "d1")
    again = await it.ingest(key, "first text", "d1")
    assert (again.status, again.data["status"]) == (200, "succeeded")
    assert again.data["job_id"] == first["last_job_id"]
    other = await it.ingest(key, "second text", "d1")
    assert (other.status, other.code) == (409, "CONFLICT")
    assert "overwrite" in other.body["error"]["message"]
    assert [p["text"] for p in await it.passages(key, "text")] == ["first text"]
    moved = await it.ingest(key, "first text", "d1", corpus_id="other", overwrite=True)
    assert (moved.status, moved.code) == (409, "CONFLICT")
    replaced = await it.ingest(key, "second text", "d1", overwrite=True)
    assert replaced.status == 202
    assert (await it.settled(key, "d1"))["status"] == "succeeded"
    assert [p["text"] for p in await it.passages(key, "text")] == ["second text"]


async def test_nothing_that_a_request_says_of_an_existing_document_is_dropped_in_silence(it):
    key = await it.key("ann")
    await it.corpus(key)
    await it.indexed(key, "the text", "d1", metadata_json={"year": 3}, chunk_size_chars=400)
    for same in (
        {},
        {"metadata_json": {"year": 3}},
        {"filename": "renamed.md"},
        {"chunk_size_chars": 400},
    ):
        assert (await it.ingest(key, "the text", "d1", **same)).status == 200, same
    for other, differs in (
        ({"text": "the text "}, ["content"]),
        ({"metadata_json": {"year": 4}}, ["metadata_json"]),
        ({"metadata_json": {}}, ["metadata_json"]),
        ({"chunk_size_chars": 500}, ["chunk_size_chars"]),
        ({"chunk_overlap_chars": 0, "text": "x"}, ["content", "chunk_overlap_chars"]),
    ):
        body = {"text": "the text", **other}
        refused = await it.ingest(key, document_id="d1", **body)
        assert (refused.status, refused.code) == (409, "CONFLICT"), other
        assert refused.body["error"]["details"]["differs"] == differs
    same = await it.app.call("POST", "/v1/documents", key, data=form(b"the text", document_id="d1"))
    assert same.status == 200
    upload = await it.app.call("POST", "/v1/documents", key, data=form(b"a text", document_id="d1"))
    assert (upload.status, upload.code) == (409, "CONFLICT")
    assert [p["text"] for p in await it.passages(key, "text")] == ["the text"]


async def test_other_content_is_refused_whatever_became_of_the_document(it):
    key, stranger = await it.key("ann"), await it.key("bob")
    await it.corpus(key)
    await it.indexed(key, "text", "d1")
    for status in ("queued", "processing", "failed", "succeeded"):
        async with it.app.platform.parts.db.tenant(it.tenant) as tx:
            await tx.execute("UPDATE documents.documents SET status = $1", status)
        same = await it.ingest(key, "text", "d1")
        assert (same.status, same.data["status"]) == (200, status)
        assert (await it.ingest(key, "other", "d1")).code == "CONFLICT"
        assert (await it.ingest(stranger, "other", "d1")).code == "AUTHZ_DENIED"


BLANK = ("", " \n\t ", "\u200b\u200b", "\ufeff", "\u3164", "\u2800", "\u00ad\ufe0f")


async def test_a_blank_document_is_refused_on_every_way_in(it):
    key = await it.key("ann")
    await it.corpus(key)
    answers = [await it.ingest(key, text, "d1") for text in BLANK]
    for text in BLANK:
        wrapped = json.dumps({"text": text}).encode()
        answers += [
            await it.app.call("POST", "/v1/documents", key, data=form(text.encode())),
            await it.app.call("POST", "/v1/documents", key, data=form(text.encode(), "a.txt", "text/plain")),
            await it.app.call("POST", "/v1/documents", key, data=form(wrapped, "a.json", "application/json")),
        ]
    for answer in answers:
        assert (answer.status, answer.code) == (422, "INGEST_VALIDATION_ERROR"), answer.text
        assert answer.body["error"]["details"]["errors"][0]["type"] == "string_blank"
    assert (await it.app.call("GET", "/v1/documents", key)).data == []
    for query in BLANK:
        assert (await it.retrieve(key, query)).status == 422
    assert (await it.app.call("POST", "/v1/corpora", key, json={"id": "b", "name": " "})).status == 422


async def test_chunk_sizes_are_bounded_wherever_they_enter(it):
    key = await it.key("ann")
    await it.corpus(key)
    await it.indexed(key, LONG, "d1")
    for size, overlap in ((1200, 1199), (1200, 601), (63, 0), (1, 0), (20_001, 0), (None, 601), (200, 101)):
        said = {"chunk_size_chars": size, "chunk_overlap_chars": overlap}
        body = {name: value for name, value in said.items() if value is not None}
        for answer in (
            await it.ingest(key, LONG, "d2", **body),
            await it.app.call("POST", "/v1/documents/d1/reindex", key, json=body),
        ):
            assert (answer.status, answer.code) == (422, "REQUEST_VALIDATION_ERROR"), body
    # What an earlier release let in is cheap, and mended by the next reindexing.
    async with it.app.platform.parts.db.tenant(it.tenant) as tx:
        await tx.execute("UPDATE documents.documents SET chunk_size = 1200, chunk_overlap = 1199")
    assert (await it.app.call("POST", "/v1/documents/d1/reindex", key)).status == 202
    assert (await it.settled(key, "d1"))["num_chunks"] < 2 * len(LONG) // 600 + 2
    small = await it.app.call("POST", "/v1/documents/d1/reindex", key, json={"chunk_size_chars": 200})
    assert small.status == 202
    await it.settled(key, "d1")


async def test_inline_ingestion_answers_how_it_ended(api):
    async with api(INGEST_EXECUTION_MODE="inline") as it:
        key = await it.key("ann")
        await it.corpus(key)
        made = await it.ingest(key, "a text about wings", "d1")
        assert (made.status, made.data["status"], made.data["job_id"]) == (202, "succeeded", None)
        assert [p["document_id"] for p in await it.passages(key, "wings")] == ["d1"]
        upload = await it.app.call("POST", "/v1/documents", key, data=form(b"# Tails", document_id="d2"))
        assert upload.data["status"] == "succeeded"
        assert (await it.ingest(key, "other", "d1", overwrite=True)).data["status"] == "succeeded"
        again = await it.app.call("POST", "/v1/documents/d1/reindex", key, json={"chunk_size_chars": 200})
        assert again.data["status"] == "succeeded"
        async with it.app.platform.parts.db.tenant(it.tenant) as tx:
            await tx.execute("UPDATE documents.documents SET chunk_size = 64, metadata = '{}'")
            await tx.execute("UPDATE documents.corpora SET embedder = 'gone'")
        lost = await it.ingest(key, "a third text", "d3")
        assert (lost.status, lost.data["status"]) == (202, "failed")
        document = (await it.app.call("GET", "/v1/documents/d3", key)).data
        assert "gone" in document["failure_reason"]


async def test_equal_requests_at_once_make_one_document(it):
    key = await it.key("ann")
    await it.corpus(key)
    answers = await asyncio.gather(*(it.ingest(key, "the very same", "d1") for _ in range(6)))
    assert sorted(a.status for a in answers) == [200] * 5 + [202]
    assert len({a.data["job_id"] for a in answers if a.status == 202}) == 1
    await it.settled(key, "d1")
    assert len(await it.passages(key, "same")) == 1


async def test_reindexing_embeds_only_what_changed(it):
    key = await it.key("ann")
    await it.corpus(key)
    first = await it.indexed(key, LONG, "d1")
    body = {"chunk_size_chars": 400, "chunk_overlap_chars": 0}
    answer = await it.app.call("POST", "/v1/documents/d1/reindex", key, json=body)
    assert answer.status == 202
    second = await it.settled(key, "d1")
    assert second["num_chunks"] > first["num_chunks"]
    assert second["last_reindexed_at"]
    assert (await it.app.call("POST", "/v1/documents/d1/reindex", key)).status == 202
    assert (await it.settled(key, "d1"))["num_chunks"] == second["num_chunks"]
    bad = {"chunk_size_chars": 100, "chunk_overlap_chars": 100}
    answer = await it.app.call("POST", "/v1/documents/d1/reindex", key, json=bad)
    assert (answer.status, answer.code) == (422, "REQUEST_VALIDATION_ERROR")


async def test_a_large_text_succeeds(it):
    key = await it.key("ann")
    await it.corpus(key)
    text = ("All work and no play makes a dull text. " * 25_000)[:1_000_000]
    assert (await it.indexed(key, text, "large", chunk_size_chars=8000))["num_chunks"] > 100


async def test_documents_in_flight_are_not_changed(it):
    key = await it.key("ann")
    await it.corpus(key)
    await it.indexed(key, "text", "d1")
    # As a worker elsewhere would leave it while it is busy.
    async with it.app.platform.parts.db.tenant(it.tenant) as tx:
        await tx.execute("UPDATE documents.documents SET status = 'processing'")
    for method, path in (("DELETE", ""), ("POST", "/reindex")):
        answer = await it.app.call(method, f"/v1/documents/d1{path}", key)
        assert (answer.status, answer.code) == (409, "INGEST_IN_PROGRESS")
        assert int(answer.headers["Retry-After"]) > 0
    same = await it.ingest(key, "text", "d1", overwrite=True)
    assert (same.status, same.data["status"]) == (200, "processing")
    other = await it.ingest(key, "other", "d1", overwrite=True)
    corpus = await it.app.call("DELETE", "/v1/corpora/c", key)
    for answer in (other, corpus):
        assert (answer.status, answer.code) == (409, "INGEST_IN_PROGRESS")
        assert int(answer.headers["Retry-After"]) > 0


def form(data, name="notes.md", kind="text/markdown", **fields):
    body = aiohttp.FormData()
    for key, value in {"corpus_id": "c", **fields}.items():
        body.add_field(key, value)
    body.add_field("file", data, filename=name, content_type=kind)
    return body


async def test_files_are_typed_by_label_and_content(it):
    key = await it.key("ann")
    await it.corpus(key)
    good = await it.app.call("POST", "/v1/documents", key, data=form(b"# Title\n\nBody.", document_id="f1"))
    assert good.status == 202
    document = await it.settled(key, "f1")
    assert (document["filename"], document["content_type"]) == ("notes.md", "text/markdown")
    assert document["ingest_source"] == "upload"
    bad = [
        (b"%PDF-1.4", "text/plain"),
        (b"caf\xe9", "text/plain"),
        (b"<p>", "text/html"),
        (b"\x7fELF", "application/octet-stream"),
    ]
    for data, kind in bad:
        answer = await it.app.call("POST", "/v1/documents", key, data=form(data, "x.bin", kind))
        assert (answer.status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")
        assert "parser" in answer.text
    bomb = form(b"[" * 50_000, "b.json", "application/json")
    assert (await it.app.call("POST", "/v1/documents", key, data=bomb)).status == 422
    listed = await it.app.call("GET", "/v1/documents", key)
    assert [d["id"] for d in listed.data] == ["f1"]


async def test_hostile_ids_are_refused(it):
    key = await it.key("ann")
    await it.corpus(key)
    for document_id in ("../../x", "/etc/passwd", "a\x00b", "x" * 300, "", "a/b", "%2e%2e", "é", "."):
        answer = await it.ingest(key, "text", document_id)
        assert answer.status == 422
        assert answer.body["error"]["details"]["errors"][0]["loc"] == ["body", "document_id"]


async def test_bad_bodies_name_the_field_and_change_nothing(api):
    async with api(INGEST_MAX_BYTES="20000") as it:
        key = await it.key("ann")
        await it.corpus(key)
        cases = [
            ({"text": 5}, 422, ["body", "text"]),
            ({"txt": "x"}, 422, ["body", "txt"]),
            ({"metadata_json": {"a": "\x00"}}, 422, ["body", "metadata_json", "a"]),
            ({"metadata_json": []}, 422, ["body", "metadata_json"]),
            ({"chunk_size_chars": 0}, 422, ["body", "chunk_size_chars"]),
            ({"chunk_size_chars": 100, "chunk_overlap_chars": 51}, 422, ["body", "chunk_overlap_chars"]),
            ({"overwrite": "yes"}, 422, ["body", "overwrite"]),
            ({"filename": "a\x00"}, 422, ["body", "filename"]),
        ]
        for change, status, loc in cases:
            body = {"corpus_id": "c", "text": "x", "document_id": "d", **change}
            answer = await it.app.call("POST", "/v1/documents/text", key, json=body)
            assert answer.status == status, answer.text
            assert loc in [row["loc"] for row in answer.body["error"]["details"]["errors"]]
        tenant = await it.ingest(key, "x", "d", tenant_id="t2")
        assert (tenant.status, tenant.code) == (400, "TENANT_ID_NOT_ALLOWED")
        assert (await it.ingest(key, "x", "d", corpus_id="nowhere")).status == 404
        assert (await it.ingest(key, "x" * 30_000, "d")).status == 413
        assert (await it.app.call("GET", "/v1/documents", key)).data == []


async def test_lists_are_bounded(it):
    key = await it.key("ann")
    await it.corpus(key)
    await it.corpus(key, "b")
    for n in range(3):
        await it.ingest(key, f"text {n}", f"d{n}")
    await it.ingest(key, "elsewhere", "e", corpus_id="b")

    async def ids(**params):
        answer = await it.app.call("GET", "/v1/documents", key, params=params)
        return [d["id"] for d in answer.data]

    assert await ids(limit="2") == ["e", "d2"]
    assert await ids(limit="2", offset="2") == ["d1", "d0"]
    assert await ids(corpus_id="b") == ["e"]
    nowhere = await it.app.call("GET", "/v1/documents", key, params={"corpus_id": "nope"})
    assert (nowhere.status, nowhere.code) == (404, "NOT_FOUND")
    for bad in ({"limit": "0"}, {"limit": "1001"}, {"offset": "-1"}, {"limit": "x"}):
        assert (await it.app.call("GET", "/v1/documents", key, params=bad)).status == 422
