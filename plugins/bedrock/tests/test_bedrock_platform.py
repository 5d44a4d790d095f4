"""Bedrock through the whole platform: over HTTP, with its catalogue, its rights and its settings."""

import json

import pytest
import pytest_asyncio
from ragwork_bedrock.credentials import PREFIX
from ragwork_testkit.bedrock_server import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, result
from ragwork_testkit.imports import brought_by
from ragwork_testkit.platform import DEFAULT_PLUGINS, running
from ragwork_testkit.remote_corpus import TEXTS, UNKNOWN, RemoteCorpus
from ragwork_toolkit.vendor.tenant_credentials import secret_name

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
        "BEDROCK_SHARED_KNOWLEDGE_BASES": "*:KB, t7:own",
        "LLM_PROVIDER": "bedrock",
        secret_name(PREFIX, "own-1", "theirs"): json.dumps(
            {"tenant": "own-1", "aws_access_key_id": "AKIAOWN1", "aws_secret_access_key": "own secret"}
        ),
    }
    async with running(postgres, (*DEFAULT_PLUGINS, "bedrock"), settings) as started:
        yield started


@pytest.fixture
def corpus(app):
    retrieval = {"provider": "aws_bedrock_kb", "knowledge_base_id": "KB", "top_k_default": 5}
    return RemoteCorpus(app=app, corpus_id="kb", retrieval=retrieval)


def serve(server, **more):
    server.bases["KB"] = [
        result("unknown", UNKNOWN, 0.95),
        *(result(name, text, 0.9 - n / 10, **more) for n, (name, text) in enumerate(TEXTS.items())),
    ]


async def test_only_what_the_caller_may_read_comes_through(corpus, server):
    serve(server)
    await corpus.check_rights(server)


async def test_a_run_streams_the_models_answer_and_cites_the_document(corpus, server):
    serve(server)
    await corpus.check_cited_run("s3://bucket/tide.txt")
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
async def test_a_failure_reaches_the_client_as_its_code(corpus, server, options, fault, code):
    serve(server)
    await corpus.check_failure(server, options, fault, code)


async def test_a_tenants_own_credentials_are_used_for_it_alone(corpus, server):
    serve(server)
    server.secrets["AKIAOWN1"] = "own secret"
    server.owners["KB"] = "AKIAOWN1"
    await corpus.check_own_credentials("AWS_CONFIG_MISSING")
    assert {sent.signed.access_key_id for sent in server.requests} == {"AKIAOWN1"}


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("endpoint_url", "http://169.254.169.254", "endpoint_url"),
        ("knowlege_base_id", "KB", "knowledge_base_id"),
        ("region", "a.evil.com/", "region"),
        ("number_of_results", 1000, "number_of_results"),
    ],
)
async def test_a_corpus_can_not_set_what_is_not_its_own(corpus, server, option, value, named):
    await corpus.check_refused_option(option, value, named)


async def test_a_corpus_on_what_is_not_shared_with_its_tenant_is_refused_with_the_fix(corpus):
    await corpus.check_sharing("knowledge_base_id", "BEDROCK_SHARED_KNOWLEDGE_BASES")


async def test_a_filter_reaches_the_service(corpus, server):
    serve(server)
    server.bases["KB"].append(result("tide", "Chapter two.", 0.5, chapter=2))
    await corpus.check_filter("Chapter two.")


@pytest.mark.parametrize("module", ["ragwork_bedrock", "ragwork_bedrock.retriever", "ragwork_bedrock.chat"])
async def test_no_module_that_the_kernel_loads_imports_the_sdk(module):
    assert await brought_by(module, ("boto3", "botocore", "urllib3")) == []
