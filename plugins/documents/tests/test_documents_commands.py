"""``ragwork ingest`` and ``ragwork seed``."""

import codecs
import json

import pytest
from ragwork_documents.commands import seed_documents
from ragwork_documents.ingestion import jsonl

pytestmark = pytest.mark.asyncio(loop_scope="module")


def write(path, *lines):
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return str(path)


async def test_seeding_makes_ten_chunks_in_three_documents_once(it):
    first = await it.app.command("seed", tenant=it.tenant)
    assert first.results == [{"corpus_id": "c1", "documents": 3, "seeded": True}]
    reader = await it.key("rita", "reader")
    documents = (await it.app.call("GET", "/v1/documents", reader)).data
    assert len(documents) == 3
    assert sum(d["num_chunks"] for d in documents) == 10
    assert len(await it.passages(reader, "release gates", corpus_id="c1", top_k=10)) == 10
    again = await it.app.command("seed", tenant=it.tenant)
    assert "already seeded" in again.said


async def test_ingest_indexes_all_and_a_second_run_sends_only_what_changed(it, tmp_path):
    lines = [
        {"document_id": f"d{n}", "text": f"Document {n} about flutter.", "metadata": {"n": n}}
        for n in range(70)
    ]
    source = write(tmp_path / "docs.jsonl", *lines, "")
    options = {"tenant": it.tenant, "corpus": "big", "jsonl": source}
    first = (await it.app.command("ingest", **options)).results[-1]
    assert (first["indexed"], first["unchanged"], first["failed"]) == (70, 0, 0)
    write(tmp_path / "docs.jsonl", *lines[:69], {**lines[69], "text": "Another text."})
    second = (await it.app.command("ingest", **options)).results[-1]
    assert (second["indexed"], second["unchanged"]) == (1, 69)
    reader = await it.key("rita", "reader")
    assert len((await it.app.call("GET", "/v1/documents", reader)).data) == 70
    found = await it.passages(reader, "flutter", corpus_id="big", top_k=50)
    assert len(found) == 50


async def test_ingest_for_the_owner_alone_hides_documents_from_others(it, tmp_path):
    source = write(tmp_path / "a.jsonl", {"document_id": "d", "text": "mine"})
    await it.app.command("ingest", tenant=it.tenant, corpus="c", jsonl=source, readers="owner")
    assert (await it.app.call("GET", "/v1/documents", await it.key("bob"))).data == []
    assert len((await it.app.call("GET", "/v1/documents", await it.key("cli"))).data) == 1


async def test_ingest_names_documents_of_others_and_ends_with_1(it, tmp_path):
    key = await it.key("ann")
    await it.corpus(key)
    await it.indexed(key, "hers", "d1")
    lines = [{"document_id": "d1", "text": "x"}, {"document_id": "d2", "text": "y"}]
    source = write(tmp_path / "a.jsonl", *lines)
    with pytest.raises(RuntimeError, match="ended with 1") as failed:
        await it.app.command("ingest", tenant=it.tenant, corpus="c", jsonl=source)
    assert "d1: AUTHZ_DENIED" in str(failed.value)
    assert sorted(p["text"] for p in await it.passages(key, "hers x y")) == ["hers", "y"]


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("{", "not valid JSON"),
        ("[" * 5_000, "not valid JSON"),
        ("[]", "object"),
        ('{"document_id": "a", "txt": "x"}', "'text'"),
        ('{"document_id": 5, "text": "x"}', "document_id"),
        ('{"text": "x"}', "document_id"),
        ('{"document_id": "../x", "text": "x"}', "must match"),
        ('{"document_id": "a", "text": "\\u200b"}', "text is blank"),
        ('{"document_id": "a", "text": "\\u0000"}', "NUL"),
        ('{"document_id": "a", "text": "x", "metadata": {"k": "\\u0000"}}', "metadata_json.k"),
        (
            '{"document_id": "a", "text": "x", "metadata": {"k": ' + "[" * 300 + "]" * 300 + "}}",
            "nested deeper",
        ),
        ('{"document_id": "ok", "text": "x"}', "stands in"),
    ],
)
async def test_a_bad_line_is_named_before_anything_is_sent(tmp_path, line, hint):
    path = tmp_path / "bad.jsonl"
    write(path, {"document_id": "ok", "text": "fine"}, line)
    with pytest.raises(jsonl.BadLine) as bad:
        jsonl.count([path], "c")
    assert f"{path}:2: " in str(bad.value)
    assert hint in str(bad.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"metadata": {"k": "x" * 16_400}},
        {"metadata": {"k": "é" * 8_200}},
        {"metadata": {"k": [0] * 20_000}},
        {"metadata": {"k": [0] * 3_000}},
        {"metadata": {"labels": {"k": 1}}},
        {"filename": "x" * 300},
        {"document_id": "x" * 200},
        {"text": ""},
    ],
)
async def test_a_line_is_refused_in_the_words_of_the_route(it, tmp_path, wrong):
    key = await it.key("ann")
    await it.corpus(key)
    line = {"document_id": "a", "text": "x", **wrong}
    body = {"metadata_json" if name == "metadata" else name: value for name, value in line.items()}
    refused = await it.app.call("POST", "/v1/documents/text", key, json={"corpus_id": "c", **body})
    assert refused.status == 422
    (error,) = refused.body["error"]["details"]["errors"]
    path = tmp_path / "bad.jsonl"
    write(path, {"document_id": "ok", "text": "fine"}, line)
    with pytest.raises(jsonl.BadLine) as bad:
        jsonl.count([path], "c")
    assert str(bad.value) == f"{path}:2: {'.'.join(error['loc'][1:])} {error['msg']}"


async def test_sources_are_a_file_or_a_folder_with_some(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no \.jsonl"):
        jsonl.files(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        jsonl.files(tmp_path / "none")
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / "b.jsonl", {"document_id": "b", "text": "x" * 300_000})
    write(tmp_path / "a.jsonl", {"document_id": "a", "text": "x"})
    paths = jsonl.files(tmp_path)
    assert [p.name for p in paths] == ["a.jsonl", "b.jsonl"]
    assert [len(b.submissions) for b in jsonl.batches(paths, "c")] == [1, 1]


async def test_the_seed_speaks_of_release_gates_and_testing():
    text = " ".join(d.source.decode() for d in seed_documents())
    assert "Agent 2.0" in text
    assert "release gates" in text.lower()


async def test_a_byte_order_mark_before_the_first_line_is_skipped(tmp_path):
    source = tmp_path / "a.jsonl"
    source.write_bytes(codecs.BOM_UTF8 + b'{"document_id": "d", "text": "mine"}\n')
    batches = list(jsonl.batches([source], "c1"))
    assert [s.document_id for s in batches[0].submissions] == ["d"]
    source.write_bytes(b'{"document_id": "d", "text": "mine"}\n' + codecs.BOM_UTF8 + b"{}\n")
    with pytest.raises(jsonl.BadLine, match=":2: not valid JSON"):
        list(jsonl.batches([source], "c1"))
