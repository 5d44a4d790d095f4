"""Bedrock through the whole platform: over HTTP, with its catalogue, its rights and its settings."""

import asyncio
import json
import subprocess
import sys
import uuid

import pytest
import pytest_asyncio
from ragwork_bedrock.credentials import secret_name
from ragwork_testkit.bedrock_server import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, result
from ragwork_testkit.platform import DEFAULT_PLUGINS, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

TEXTS = {"tide": "The lock gates close at low tide.", "bread": "Bread rises in a warm kitchen."}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(postgres, shared_server):
    settings = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_EC2_METADATA_DISABLED": "true",
        "BEDROCK_AGENT_ENDPOINT_URL": shared_server.base_url,
        "BEDROCK_RUNTIME_ENDPOINT_URL": shared_server.base_url,
        "BEDROCK_MODEL_ID": "eu.amazon.nova-lite-v1:0",
        "BEDROCK_REGION": REGION,
        "LLM_PROVIDER": "bedrock",
        secret_name("own-1", "theirs"): json.dumps(
            {"tenant": "own-1", "aws_access_key_id": "AKIAOWN1", "aws_secret_access_key": "own secret"}
        ),
    }
    async with running(postgres, (*DEFAULT_PLUGINS, "bedrock"), settings) as started:
        yield started


async def corpus(app, key, **options):
    retrieval = {"provider": "aws_bedrock_kb", "knowledge_base_id": "KB", "top_k_default": 5, **options}
    body = {"id": "kb", "name": "kb", "provider_config_json": {"retrieval": retrieval}}
    return await app.call("POST", "/v1/corpora", key, json=body)


async def documents(app, key):
    """The catalogue's side of the knowledge base: two documents, and the base has a third."""
    for name, text in TEXTS.items():
        body = {"corpus_id": "kb", "document_id": name, "text": text}
        assert (await app.call("POST", "/v1/documents/text", key, json=body)).status == 202
    for name in TEXTS:
        for _ in range(300):
            found = await app.call("GET", f"/v1/documents/{name}", key)
            if found.data["status"] == "succeeded":
                break
            await asyncio.sleep(0.05)
        assert found.data["status"] == "succeeded"


def serve(server, **more):
    server.bases["KB"] = [
        result("unknown", "A page that the platform knows nothing of.", 0.95),
        *(result(name, text, 0.9 - n / 10, **more) for n, (name, text) in enumerate(TEXTS.items())),
    ]


async def retrieve(app, key, **more):
    body = {"corpus_id": "kb", "query": "when do the gates close", **more}
    return await app.call("POST", "/v1/retrieve", key, json=body)


async def ids(app, key, **more):
    answer = await retrieve(app, key, **more)
    assert answer.status == 200, answer.text
    return [passage["document_id"] for passage in answer.data["passages"]]


async def run(app, key):
    body = {"session_id": "s", "corpus_id": "kb", "message": "when do the gates close", "top_k": 5}
    return await app.events("/v1/run", key, body)


async def test_only_what_the_caller_may_read_comes_through(app, server):
    serve(server)
    ann, bob = await app.key("t1", "editor", "ann"), await app.key("t1", "reader", "bob")
    admin = await app.key("t1", "admin", "root")
    assert (await corpus(app, ann)).status == 201
    await documents(app, ann)
    assert await ids(app, ann) == ["tide", "bread"]
    assert await ids(app, bob) == []
    grant = {"principal_type": "user", "principal_id": "bob", "permission": "read"}
    path = "/v1/admin/authz/documents/bread/permissions"
    assert (await app.call("POST", path, admin, json=grant)).status == 201
    assert await ids(app, bob) == ["bread"]
    prompts = len(server.requests)
    events = await run(app, bob)
    assert events[-1].type == "done", [event.payload for event in events]
    prompt = json.dumps(server.requests[-1].body)
    assert len(server.requests) == prompts + 2
    assert TEXTS["bread"] in prompt
    assert TEXTS["tide"] not in prompt
    assert "knows nothing of" not in prompt


async def test_a_run_streams_the_models_answer_and_cites_the_document(app, server):
    serve(server)
    key = await app.key("t2", "editor", "ann")
    await corpus(app, key)
    await documents(app, key)
    events = await run(app, key)
    (final,) = (event for event in events if event.type == "message.final")
    assert events[-1].type == "done"
    assert final.data["text"].endswith("when do the gates close [1]")
    (citation,) = final.data["citations"]
    assert (citation["document_id"], citation["source"]) == ("tide", "s3://bucket/tide.txt")
    assert citation["quote"] in TEXTS["tide"]
    assert [sent.signed.region for sent in server.requests] == [REGION] * 2


@pytest.mark.parametrize(
    ("options", "fault", "code"),
    [
        ({"knowledge_base_id": None}, None, "AWS_CONFIG_MISSING"),
        ({}, {"how": "status", "status": 403}, "AWS_AUTH_ERROR"),
        ({}, {"how": "status", "status": 429, "retry_after": "7"}, "AWS_RETRIEVAL_ERROR"),
        ({}, {"how": "garbage"}, "AWS_RETRIEVAL_ERROR"),
    ],
)  # fmt: skip
async def test_a_failure_reaches_the_client_as_its_code(app, server, options, fault, code):
    serve(server)
    key = await app.key(f"f-{uuid.uuid4().hex[:8]}", "editor", "ann")
    retrieval = {"provider": "aws_bedrock_kb", "knowledge_base_id": "KB", **options}
    retrieval = {name: value for name, value in retrieval.items() if value is not None}
    body = {"id": "kb", "name": "kb", "provider_config_json": {"retrieval": retrieval}}
    assert (await app.call("POST", "/v1/corpora", key, json=body)).status == 201
    for _ in range(2 if fault else 0):
        server.fail(**fault)
    answer = await retrieve(app, key)
    assert (answer.status, answer.code) == (503, code)
    assert answer.headers.get("Retry-After") == ("7" if fault and "retry_after" in fault else None)
    events = await run(app, key)
    assert [event.type for event in events][-2:] == ["error", "done"]
    assert code in json.dumps(events[-2].payload)


async def test_a_tenants_own_credentials_are_used_for_it_alone(app, server):
    serve(server)
    server.secrets["AKIAOWN1"] = "own secret"
    server.owners["KB"] = "AKIAOWN1"
    key, thief = await app.key("own-1", "editor", "ann"), await app.key("own_1", "editor", "ann")
    for each in (key, thief):
        assert (await corpus(app, each, credentials_ref="theirs")).status == 201
    await documents(app, key)
    assert await ids(app, key) == ["tide", "bread"]
    answer = await retrieve(app, thief)
    assert (answer.status, answer.code) == (503, "AWS_CONFIG_MISSING")
    assert {sent.signed.access_key_id for sent in server.requests} == {"AKIAOWN1"}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("endpoint_url", "http://169.254.169.254"),
        ("knowlege_base_id", "KB"),
        ("region", "a.evil.com/"),
        ("number_of_results", 1000),
    ],
)
async def test_a_corpus_can_not_set_what_is_not_its_own(app, server, option, value):
    key = await app.key("t3", "editor", "ann")
    answer = await corpus(app, key, **{option: value})
    assert answer.status == 422, answer.text
    assert option in answer.text
    if option == "knowlege_base_id":
        assert "knowledge_base_id" in answer.text


async def test_a_filter_reaches_the_service(app, server):
    serve(server)
    server.bases["KB"].append(result("tide", "Chapter two.", 0.5, chapter=2))
    key = await app.key("t4", "editor", "ann")
    await corpus(app, key, filter_keys={"part": "chapter"})
    await documents(app, key)
    answer = await retrieve(app, key, filter={"part": 2})
    assert [passage["text"] for passage in answer.data["passages"]] == ["Chapter two."]


def imported_by(module):
    code = f"import sys, {module}; print([n for n in ('boto3', 'botocore', 'urllib3') if n in sys.modules])"
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize("module", ["ragwork_bedrock", "ragwork_bedrock.retriever", "ragwork_bedrock.chat"])
async def test_no_module_that_the_kernel_loads_imports_the_sdk(module):
    assert await asyncio.to_thread(imported_by, module) == "[]"
