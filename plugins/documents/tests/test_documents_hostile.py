"""Hostile uploads, names, metadata and configurations are refused with a path, or stored safely."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ragwork_documents.corpora.corpus_config import bind
from ragwork_documents.ingestion.content_type import read_upload
from ragwork_documents.ingestion.input_checks import check_metadata, clean_filename
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import Upload


class Known:
    """The part of the binding table that a configuration is held against."""

    def names(self, kind):
        return {"retrieval": ["local_pgvector", "gcp_vertex"], "embedding": ["minilm", "wordllama"]}[
            kind.name
        ]

    async def check(self, kind, name, options, tenant_id):
        self.checked = (kind.name, name, dict(options))


def upload(data, content_type="text/plain", filename="a.txt"):
    return Upload(filename=filename, content_type=content_type, data=data)


def location(problem):
    return problem.details["errors"][0]["loc"]


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7 text",
        b"\x7fELF\x02",
        b"PK\x03\x04zip",
        b"\xff\xfeh\x00i\x00",
        b"caf\xe9",
        b"a\x00b",
        b"\x1f\x8b",
    ],
)
def test_content_that_is_not_text_is_refused_whatever_its_label(data):
    for label in ("text/plain", "text/markdown", "application/json"):
        with pytest.raises(Problem) as refused:
            read_upload(upload(data, label))
        assert refused.value.status == 415
        assert refused.value.details["provider_kind"] == "parser"
        assert "text/markdown" in refused.value.message


@pytest.mark.parametrize("label", ["application/pdf", "text/html", "image/png", "application/octet-stream"])
def test_other_labels_are_refused(label):
    with pytest.raises(Problem) as refused:
        read_upload(upload(b"plain", label, "a.pdf"))
    assert refused.value.code == "UNSUPPORTED_MEDIA_TYPE"


def test_accepted_uploads_give_their_text():
    assert read_upload(upload(b"\xef\xbb\xbfhello")).text == "hello"
    assert (
        read_upload(upload(b"# T", "application/octet-stream", "README.MD")).content_type == "text/markdown"
    )
    assert read_upload(upload(b'{"text": "hi", "x": 1}', "application/json")).text == "hi"
    assert read_upload(upload(b"")).text == ""


@pytest.mark.parametrize(
    "data",
    [b"[" * 100_000, b'{"text":' * 50_000, b"{}", b'{"text": 5}', b'{"text": "a\\u0000"}', b"NaN", b""],
)
def test_bad_json_uploads_are_422(data):
    with pytest.raises(Problem) as refused:
        read_upload(upload(data, "application/json"))
    assert refused.value.code == "INGEST_VALIDATION_ERROR"


@settings(max_examples=200)
@given(st.binary(max_size=200), st.sampled_from(["text/plain", "application/json", "", "x/y"]))
def test_any_bytes_give_storable_text_or_a_problem(data, label):
    source, refusal = None, None
    try:
        source = read_upload(upload(data, label, "n.json"))
    except Problem as problem:
        refusal = problem
    if source is None:
        assert refusal.status in (415, 422)
    else:
        assert "\x00" not in source.text
        assert source.text.encode().decode() == source.text


def test_file_names_lose_control_and_bidi_characters_only():
    assert clean_filename("../../etc/pass\x00wd\u202egpj.txt\n") == "../../etc/passwdgpj.txt"
    assert clean_filename("<b>né.txt") == "<b>né.txt"
    with pytest.raises(Problem):
        clean_filename("x" * 256)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=200)
@given(st.dictionaries(st.text(max_size=6), JSON, max_size=5))
def test_metadata_is_storable_or_refused(metadata):
    refusal = None
    try:
        check_metadata(metadata)
    except Problem as problem:
        refusal = problem
    if refusal is None:
        assert b"\\u0000" not in orjson.dumps(metadata)
    else:
        assert refusal.status == 422


def test_deep_wide_and_long_metadata_is_refused():
    deep: dict = {}
    for _ in range(40):
        deep = {"a": deep}
    for bad in (deep, {"a": [0] * 3_000}, {"a": "x" * 70_000}, {"labels": {"a": 1}}, {"labels": [1]}):
        with pytest.raises(Problem):
            check_metadata(bad)
    assert check_metadata({"labels": {"team": "x"}, "n": 1}) == {"team": "x"}


async def test_an_empty_configuration_is_the_local_retriever():
    binding = await bind({}, Known(), "t1")
    assert binding.json == {"retrieval": {"provider": "local_pgvector", "top_k_default": 5}}
    assert binding.embedder is None
    assert list(binding.default_readers) == []


async def test_a_full_configuration_is_read_once():
    known = Known()
    acl = {"default_readers": ["tenant", "group:g1", "user:u:2", "role:reader", "tenant"]}
    config = {"retrieval": {"provider": "gcp_vertex", "embedder": "wordllama", "project": "p"}, "acl": acl}
    binding = await bind(config, known, "t1")
    assert known.checked == ("retrieval", "gcp_vertex", {"project": "p"})
    assert binding.embedder == "wordllama"
    assert list(binding.default_readers) == ["group:g1", "role:reader", "tenant:t1", "user:u:2"]
    assert (await bind(binding.json, known, "t1")).json == binding.json


@pytest.mark.parametrize(
    ("config", "where", "hint"),
    [
        ({"retreival": {}}, ["retreival"], "retrieval"),
        ({"retrieval": {"provider": "local_pgvectr"}}, ["retrieval", "provider"], "local_pgvector"),
        ({"retrieval": {"embedder": "mini"}}, ["retrieval", "embedder"], "minilm"),
        ({"retrieval": {"top_k_default": 51}}, ["retrieval", "top_k_default"], "50"),
        ({"retrieval": {"top_k_default": True}}, ["retrieval", "top_k_default"], "50"),
        ({"retrieval": {"provider": ["x"]}}, ["retrieval", "provider"], ""),
        ({"retrieval": []}, ["retrieval"], "object"),
        ({"acl": {"readers": []}}, ["acl", "readers"], "default_readers"),
        ({"acl": {"default_readers": "tenant"}}, ["acl", "default_readers"], "list"),
        ({"acl": {"default_readers": ["tenant:t2"]}}, ["acl", "default_readers", 0], "tenant"),
        ({"acl": {"default_readers": ["role:root"]}}, ["acl", "default_readers", 0], "reader"),
        ({"acl": {"default_readers": ["user:"]}}, ["acl", "default_readers", 0], "user"),
        ({"retrieval": {"x": "\x00"}}, ["retrieval", "x"], "NUL"),
    ],
)
async def test_wrong_configurations_name_path_and_nearest_match(config, where, hint):
    with pytest.raises(Problem) as refused:
        await bind(config, Known(), "t1")
    assert refused.value.status == 422
    assert location(refused.value) == ["body", "provider_config_json", *where]
    assert hint in refused.value.details["errors"][0]["msg"]
