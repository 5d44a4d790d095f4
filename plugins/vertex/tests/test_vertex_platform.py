"""Vertex through the whole platform: over HTTP, with its catalogue, its rights and its settings."""

import json
import uuid

import pytest
import pytest_asyncio
from ragwork_testkit.google_search import SearchPart
from ragwork_testkit.google_server import LOCATION, PROJECT
from ragwork_testkit.imports import brought_by
from ragwork_testkit.platform import DEFAULT_PLUGINS, running
from ragwork_testkit.remote_corpus import TEXTS, UNKNOWN, RemoteCorpus
from ragwork_toolkit.vendor.tenant_credentials import secret_name
from ragwork_vertex.credentials import PREFIX

pytestmark = pytest.mark.asyncio(loop_scope="module")

OWN = "own@test.iam.gserviceaccount.com"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(postgres, shared_server, operators_file):
    settings = {
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "GOOGLE_CLOUD_LOCATION": LOCATION,
        "GOOGLE_APPLICATION_CREDENTIALS": operators_file,
        "VERTEX_SEARCH_ENDPOINT_URL": shared_server.base_url,
        "GEMINI_ENDPOINT_URL": shared_server.base_url,
        "VERTEX_SHARED_DATASTORES": "*:s, t7:own",
        "LLM_PROVIDER": "vertex",
        secret_name(PREFIX, "own-1", "theirs"): json.dumps(
            {"tenant": "own-1", **shared_server.account("own")}
        ),
    }
    async with running(postgres, (*DEFAULT_PLUGINS, "vertex"), settings) as started:
        yield started


@pytest.fixture
def corpus(app):
    retrieval = {"provider": "gcp_vertex", "resource_id": "s", "top_k_default": 5}
    return RemoteCorpus(app=app, corpus_id="vx", retrieval=retrieval)


def serve(server):
    server.stores["s"] = [
        SearchPart(document_id="unknown", text=UNKNOWN, score=0.95),
        *(
            SearchPart(document_id=name, text=text, score=0.9 - n / 10)
            for n, (name, text) in enumerate(TEXTS.items())
        ),
    ]


async def test_only_what_the_caller_may_read_comes_through(corpus, server):
    serve(server)
    await corpus.check_rights(server)
    assert server.requests[-1].target == "gemini-2.0-flash-001"


async def test_a_run_streams_the_models_answer_and_cites_the_document(corpus, server):
    serve(server)
    await corpus.check_cited_run("gs://test/1.txt", content="chunks")


async def test_a_corpus_may_use_googles_embeddings(app, corpus, server):
    key = await app.key("t5", "editor", "ann")
    retrieval = {"provider": "local_pgvector", "embedder": "vertex", "top_k_default": 1}
    body = {"id": "vx", "name": "vx", "provider_config_json": {"retrieval": retrieval}}
    assert (await app.call("POST", "/v1/corpora", key, json=body)).status == 201
    await corpus.fill(key)
    assert await corpus.ids(key) == ["tide"]
    assert {sent.target for sent in server.requests} == {"text-embedding-004"}


@pytest.mark.parametrize(
    ("options", "fault", "code"),
    [
        ({"resource_id": None}, None, "VERTEX_RETRIEVAL_CONFIG_MISSING"),
        ({}, {"how": "status", "status": 403}, "VERTEX_RETRIEVAL_AUTH_ERROR"),
        ({}, {"how": "status", "status": 429, "retry_after": "7"}, "VERTEX_RETRIEVAL_ERROR"),
        ({}, {"how": "garbage"}, "VERTEX_RETRIEVAL_ERROR"),
    ],
)
async def test_a_failed_retrieval_reaches_the_client_as_its_code(corpus, server, options, fault, code):
    serve(server)
    await corpus.check_failure(server, options, fault, code)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"how": "status", "status": 401}, "VERTEX_AUTH_ERROR"),
        ({"how": "withhold"}, "LLM_ERROR"),
        ({"how": "drop"}, "INTEGRATION_UNAVAILABLE"),
    ],
)
async def test_a_failed_answer_reaches_the_client_as_its_code(app, corpus, server, fault, code):
    server.stores["s"] = []
    key = await app.key(f"a-{uuid.uuid4().hex[:8]}", "editor", "ann")
    await corpus.create(key)
    server.fail("no_usage")  # nothing to the search, which comes first
    server.fail(**fault)
    await corpus.check_broken_run(key, code)


async def test_a_tenants_own_credentials_are_used_for_it_alone(corpus, server):
    serve(server)
    server.account("own")
    server.owners["s"] = OWN
    await corpus.check_own_credentials("VERTEX_RETRIEVAL_CONFIG_MISSING")
    assert {sent.caller for sent in server.requests} == {OWN}


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("endpoint_url", "http://169.254.169.254", "endpoint_url"),
        ("resourceid", "s", "resource_id"),
        ("location", "evil.com/", "location"),
        ("project", "../../x", "project"),
        ("resource_id", "s/servingConfigs/x", "resource_id"),
        ("content", "everything", "segments"),
        ("number_of_results", 1000, "number_of_results"),
    ],
)
async def test_a_corpus_can_not_set_what_is_not_its_own(corpus, server, option, value, named):
    await corpus.check_refused_option(option, value, named)


async def test_a_corpus_on_what_is_not_shared_with_its_tenant_is_refused_with_the_fix(corpus):
    await corpus.check_sharing("resource_id", "VERTEX_SHARED_DATASTORES")


async def test_a_filter_reaches_the_service(corpus, server):
    serve(server)
    server.stores["s"].append(SearchPart(document_id="tide", text="Chapter two.", fields={"chapter": 2}))
    await corpus.check_filter("Chapter two.", content="chunks")


@pytest.mark.parametrize("module", ["", ".retriever", ".chat", ".embedding"])
async def test_no_module_that_the_kernel_loads_imports_an_sdk(module):
    assert await brought_by(f"ragwork_vertex{module}", ("google", "requests", "grpc")) == []
