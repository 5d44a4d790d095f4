"""The retriever ``aws_bedrock_kb`` keeps the contract against a server that speaks the wire format."""

import asyncio
import json

import attrs
import pytest
import pytest_asyncio
from ragwork_bedrock import retriever
from ragwork_bedrock.config import BedrockConfig
from ragwork_bedrock.credentials import PREFIX
from ragwork_bedrock.results import MAX_PASSAGE_CHARS, uri_id
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import ProviderContext
from ragwork_testkit import bedrock_server
from ragwork_testkit.bedrock_server import REGION, result
from ragwork_testkit.remote_retrieval import Codes, LocalService, Remote, RemoteRetrieverContract, hits
from ragwork_toolkit.vendor.tenant_credentials import secret_name

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAULTS = {
    "unauthorized": {"how": "status", "status": 401, "code": "UnrecognizedClientException"},
    "forbidden": {"how": "status", "status": 403, "code": "AccessDeniedException"},
    "refused": {"how": "status", "status": 400, "code": "ValidationException"},
    "absent": {"how": "status", "status": 404, "code": "ResourceNotFoundException"},
    "throttled": {"how": "status", "status": 429, "code": "ThrottlingException", "retry_after": "7"},
    "broken": {"how": "status", "status": 500, "code": "InternalServerException"},
    "away": {"how": "status", "status": 503, "code": "ServiceUnavailableException"},
    "stall": {"how": "stall"},
    "drop": {"how": "drop"},
    "malformed": {"how": "garbage"},
    "truncated": {"how": "truncate"},
    "wrong_shape": {"how": "wrong_shape"},
}


class Bedrock(LocalService):
    """The server as the kit drives it."""

    def __init__(self, server, secrets):
        super().__init__(server, FAULTS)
        self.secrets = secrets

    def serve(self, hits, tenant=None):
        base = f"KB{len(self.server.bases)}"
        self.server.bases[base] = [
            bedrock_server.result(hit.document_id, hit.text, hit.score, **hit.metadata) for hit in hits
        ]
        options = {"knowledge_base_id": base, "region": bedrock_server.REGION}
        if tenant is None:
            return options
        access, secret = f"AKIA{tenant.upper()}", f"secret of {tenant}"
        self.server.secrets[access] = secret
        self.server.owners[base] = access
        self.secrets.values[secret_name(PREFIX, tenant, "own")] = credentials(tenant, access, secret)
        return {**options, "credentials_ref": "own"}


def credentials(tenant, access, secret):
    return json.dumps({"tenant": tenant, "aws_access_key_id": access, "aws_secret_access_key": secret})


async def opened(services, server, **more):
    settings = {"agent_endpoint_url": server.base_url, "max_concurrency": 4, "retrieve_timeout_s": 1.0}
    config = BedrockConfig(**{**settings, **more})
    return await retriever.provider.open(ProviderContext(services=services, config=config))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_retriever(shared_services, shared_server):
    made = await opened(shared_services, shared_server)
    yield made
    await made.aclose()


@pytest.fixture
def remote(server, services, shared_retriever):
    return Remote(
        retriever=shared_retriever,
        service=Bedrock(server, services.secrets),
        codes=Codes(config="AWS_CONFIG_MISSING", auth="AWS_AUTH_ERROR", failed="AWS_RETRIEVAL_ERROR"),
        timeout_s=1.0,
    )


class TestBedrockRetrieverContract(RemoteRetrieverContract):
    pass


def base(server, *results):
    """Options of a knowledge base with these results."""
    server.bases["KB"] = results
    return {"knowledge_base_id": "KB"}


async def test_the_request_is_what_the_service_documents(remote, server):
    options = base(server) | {"region": "us-west-2", "filter_keys": {"year": "doc_year"}}
    await remote.find(options, "when?", top_k=7, filter={"year": [1, 2], "lang": "en", "x": [True]})
    (sent,) = server.requests
    assert sent.body == {
        "retrievalQuery": {"text": "when?"},
        "retrievalConfiguration": {
            "vectorSearchConfiguration": {
                "numberOfResults": 7,
                "filter": {
                    "andAll": [
                        {"in": {"key": "doc_year", "value": [1, 2]}},
                        {"equals": {"key": "lang", "value": "en"}},
                        {"equals": {"key": "x", "value": True}},
                    ]
                },
            }
        },
    }
    assert attrs.astuple(sent.signed) == (bedrock_server.ACCESS_KEY_ID, "us-west-2", "bedrock")


async def test_the_region_is_the_corpus_or_else_the_settings(remote, services, server):
    async def region(made, **options):
        await attrs.evolve(remote, retriever=made).find(base(server) | options)
        return server.requests[-1].signed.region

    named = await opened(services, server, region="eu-north-1")
    assert await region(named) == "eu-north-1"
    assert await region(named, region="us-west-2") == "us-west-2"
    assert await region(remote.retriever) == REGION
    del services.secrets.values["AWS_REGION"]
    services.secrets.values["AWS_DEFAULT_REGION"] = "sa-east-1"
    assert await region(remote.retriever) == "sa-east-1"
    await named.aclose()


@pytest.mark.parametrize(
    ("unset", "options", "named"),
    [
        ((), {"knowledge_base_id": None}, "'knowledge_base_id'"),
        (("AWS_REGION",), {}, "AWS_REGION"),
        (("AWS_ACCESS_KEY_ID",), {}, "AWS_ACCESS_KEY_ID"),
        (("AWS_SECRET_ACCESS_KEY",), {}, "AWS_SECRET_ACCESS_KEY"),
        (("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), {}, "AWS_PROFILE"),
        ((), {"region": "nowhere-"}, "region"),
        ((), {"credentials_ref": "prod-1"}, "BEDROCK_CREDENTIALS_T1_PROD_1"),
    ],
)
async def test_what_is_missing_is_named(remote, services, server, unset, options, named):
    for name in unset:
        del services.secrets.values[name]
    error = await remote.failure({**base(server), **options})
    assert (error.code, error.retryable) == ("AWS_CONFIG_MISSING", False)
    assert named in error.message
    assert not server.requests


async def test_a_profile_that_is_not_there_is_named(services, server):
    services.secrets.values["AWS_PROFILE"] = "nobody"
    with pytest.raises(ProviderError, match="AWS_PROFILE") as caught:
        await opened(services, server)
    assert caught.value.code == "AWS_CONFIG_MISSING"


async def test_a_profile_gives_region_and_credentials(remote, services, server, monkeypatch, tmp_path):
    key = f"aws_access_key_id={bedrock_server.ACCESS_KEY_ID}"
    secret = f"aws_secret_access_key={bedrock_server.SECRET_ACCESS_KEY}"
    (tmp_path / "config").write_text(f"[profile team]\nregion=eu-south-1\n{key}\n{secret}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    services.secrets.values.clear()
    services.secrets.values["AWS_PROFILE"] = "team"
    made = await opened(services, server)
    await attrs.evolve(remote, retriever=made).find(base(server))
    assert server.requests[0].signed.region == "eu-south-1"
    await made.aclose()


async def test_a_wrong_secret_is_an_auth_error_that_does_not_repeat_it(remote, services, server):
    services.secrets.values["AWS_SECRET_ACCESS_KEY"] = "sesame"
    error = await remote.failure(base(server))
    assert (error.code, error.retryable) == ("AWS_AUTH_ERROR", False)
    assert "sesame" not in str(error)
    assert bedrock_server.ACCESS_KEY_ID not in str(error)


async def test_a_bearer_token_of_the_process_does_not_replace_the_signature(remote, server, monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "token")
    await remote.find(base(server))
    assert server.requests[0].signed is not None


async def test_tenants_whose_ids_look_alike_do_not_share_a_secret(remote, services, server):
    name = secret_name(PREFIX, "team.a", "own")
    assert name == secret_name(PREFIX, "team-a", "own")
    options = base(server) | {"credentials_ref": "own"}
    services.secrets.values[name] = credentials(
        "team.a", bedrock_server.ACCESS_KEY_ID, bedrock_server.SECRET_ACCESS_KEY
    )
    assert (await remote.failure(options, tenant="team-a")).code == "AWS_CONFIG_MISSING"
    assert list(await remote.find(options, tenant="team.a")) == []


@pytest.mark.parametrize(
    "stored", ["", "not json", "[]", "7", '{"tenant": "t1"}', '{"tenant": "t1", "aws_access_key_id": 7}']
)
async def test_a_secret_that_is_no_credential_is_a_config_error(remote, services, server, stored):
    services.secrets.values[secret_name(PREFIX, "t1", "own")] = stored
    error = await remote.failure(base(server) | {"credentials_ref": "own"})
    assert error.code == "AWS_CONFIG_MISSING"
    assert not server.requests


async def test_a_changed_secret_holds_for_the_next_call(remote, services, server):
    options = base(server)
    await remote.find(options)
    server.secrets = {"AKIANEW": "new"}
    assert (await remote.failure(options)).code == "AWS_AUTH_ERROR"
    services.secrets.values.update(AWS_ACCESS_KEY_ID="AKIANEW", AWS_SECRET_ACCESS_KEY="new")
    await remote.find(options)


async def test_without_an_id_in_the_metadata_the_source_gives_it(remote, server):
    places = [
        {"type": "S3", "s3Location": {"uri": "s3://bucket/hr/report.pdf"}},
        {"type": "S3", "s3Location": {"uri": "s3://bucket/public/report.pdf"}},
        {"type": "WEB", "webLocation": {"url": "https://example.com/a"}},
        {"type": "CUSTOM", "customDocumentLocation": {"id": "doc-1"}},
        {"type": "CUSTOM", "customDocumentLocation": {"id": "not an id/"}},
    ]
    results = [result(None, f"gate {n}", 0.9 - n / 10, location=place) for n, place in enumerate(places)]
    found = await remote.find(base(server, *results))
    assert [(p.document_id, p.source) for p in found] == [
        (uri_id("s3://bucket/hr/report.pdf"), "s3://bucket/hr/report.pdf"),
        (uri_id("s3://bucket/public/report.pdf"), "s3://bucket/public/report.pdf"),
        (uri_id("https://example.com/a"), "https://example.com/a"),
        ("doc-1", "doc-1"),
        (uri_id("not an id/"), "not an id/"),
    ]
    assert len({p.document_id for p in found}) == 5
    assert all(len(p.document_id) <= 128 for p in found)


async def test_what_has_no_text_or_no_document_is_dropped_and_counted(remote, services, server):
    nowhere = {**result(None, "gate", 0.9), "location": {"type": "SQL"}}
    image = {**result("a", "x", 0.8), "content": {"type": "IMAGE", "byteContent": "data:"}}
    odd = result("no/document", "gate", 0.7)
    found = await remote.find(base(server, nowhere, image, odd, result("a", "gate", 0.6)))
    assert [p.document_id for p in found] == ["a"]
    assert services.metrics.counts == {("bedrock_results_dropped_total",): 3}


async def test_the_services_own_chunk_id_and_address_are_used(remote, server):
    more = {"x-amz-bedrock-kb-chunk-id": "1%3A0%3Aabc", "x-amz-bedrock-kb-source-uri": "s3://bucket/x"}
    found = await remote.find(base(server, {**result("a", "gate", 0.5, **more), "location": None}))
    assert [(p.chunk_id, p.source) for p in found] == [("1%3A0%3Aabc", "s3://bucket/x")]


async def test_results_without_scores_keep_their_order(remote, server):
    found = await remote.find(base(server, *(result(f"d{n}", f"gate {n}", None) for n in range(5))))
    assert [(p.document_id, p.score) for p in found] == [(f"d{n}", 0.0) for n in range(5)]


async def test_an_oversized_passage_is_cut(remote, server):
    (passage,) = await remote.find(base(server, result("a", "x" * 10_000_000, 0.5)))
    assert (len(passage.text), passage.end) == (MAX_PASSAGE_CHARS, MAX_PASSAGE_CHARS)


async def test_pages_are_read_until_there_is_enough_and_no_further(remote, server):
    server.page_size = 4
    options = base(server, *(result(f"d{n}", f"gate {n}", 0.9 - n / 100) for n in range(60)))
    assert len(await remote.find(options, top_k=10)) == 10
    assert len(server.requests) == 3
    assert len(await remote.find(options, top_k=50)) == 20
    assert len(server.requests) == 8


async def test_more_candidates_can_be_asked_for_than_are_returned(remote, server):
    results = (result(f"d{n}", f"gate {n}", 0.9 - n / 100) for n in range(60))
    found = await remote.find(base(server, *results) | {"number_of_results": 40}, top_k=5)
    search = server.requests[0].body["retrievalConfiguration"]["vectorSearchConfiguration"]
    assert (len(found), search["numberOfResults"]) == (5, 40)


async def test_an_impossible_filter_and_a_blank_question_cost_no_call(remote, server):
    options = base(server, result("a", "gate", 0.5))
    for filter in ({"year": []}, {"year": None}, {"a": "b", "year": [None, None]}):
        assert list(await remote.find(options, filter=filter)) == []
    assert list(await remote.find(options, " \n")) == []
    assert not server.requests


@pytest.mark.parametrize(
    "options", [{"endpoint_url": "http://evil"}, {"region": "x/@evil.com"}, {"number_of_results": 0}]
)
async def test_an_option_that_is_not_allowed_reaches_nobody(remote, server, options):
    error = await remote.failure(base(server) | options)
    assert error.code == "RETRIEVAL_CONFIG_INVALID"
    assert not server.requests


async def test_a_knowledge_base_can_not_leave_its_place_in_the_path(remote, server):
    error = await remote.failure({"knowledge_base_id": "../model/x"})
    assert error.code == "RETRIEVAL_CONFIG_INVALID"
    assert not server.requests


async def test_waiting_for_a_place_counts_as_waiting(remote, services, server):
    made = await opened(services, server, max_concurrency=1, retrieve_timeout_s=0.5)
    alone = attrs.evolve(remote, retriever=made)
    options = base(server, result("a", "gate", 0.5))
    await alone.find(options)
    for _ in range(3):
        server.fail("stall")
    began = asyncio.get_running_loop().time()
    outcomes = await asyncio.gather(*(alone.find(options) for _ in range(3)), return_exceptions=True)
    assert asyncio.get_running_loop().time() - began < 1.0
    assert [(e.code, e.retryable) for e in outcomes] == [("AWS_RETRIEVAL_ERROR", True)] * 3
    server.faults.clear()
    assert len(await alone.find(options)) == 1
    await made.aclose()


async def test_a_connection_serves_one_call_after_the_other(remote, server):
    options = base(server, result("a", "gate", 0.5))
    for _ in range(5):
        await remote.find(options)
    assert len({sent.peer for sent in server.requests}) == 1


async def test_a_service_that_is_not_there_is_a_retrieval_error(remote, services, server):
    made = await opened(services, server, agent_endpoint_url="http://127.0.0.1:9")
    error = await attrs.evolve(remote, retriever=made).failure(base(server))
    assert (error.code, error.retryable) == ("AWS_RETRIEVAL_ERROR", True)
    await made.aclose()


async def test_closing_twice_and_with_a_call_under_way_is_fine(remote, services, server):
    made = await opened(services, server, retrieve_timeout_s=30)
    server.fail("stall")
    asked = asyncio.create_task(attrs.evolve(remote, retriever=made).find(base(server)))
    await asyncio.sleep(0.2)
    await made.aclose()
    await made.aclose()
    with pytest.raises(ProviderError):
        await asyncio.wait_for(asked, 1.0)


@pytest.mark.parametrize(
    ("profile", "shared", "tenant", "passes"),
    [
        ("production", (), "t1", False),
        ("development", (), "t1", True),
        ("test", (), "t1", True),
        ("production", ("t1:KB",), "t1", True),
        ("production", ("t1:KB",), "t2", False),
        ("development", ("t1:KB",), "t2", False),
        ("production", ("*:KB",), "t2", True),
        ("production", ("t1:KB2", "*:K", "*:", "*"), "t1", False),
    ],
)
async def test_the_operators_credentials_reach_only_what_is_shared(
    remote, services, server, profile, shared, tenant, passes
):
    services.profile = profile
    made = await opened(services, server, shared_knowledge_bases=shared)
    asked, options = attrs.evolve(remote, retriever=made), base(server, result("a", "tide", 0.5))
    if passes:
        assert [p.document_id for p in await asked.find(options, tenant=tenant)] == ["a"]
        return
    for filter in ({}, {"year": []}):  # also when there is no need to ask
        with pytest.raises(ProviderError) as caught:
            await asked.find(options, tenant=tenant, filter=filter)
        assert (caught.value.code, caught.value.retryable) == ("AWS_AUTH_ERROR", False)
        assert f"BEDROCK_SHARED_KNOWLEDGE_BASES to hold {tenant}:KB" in caught.value.message
    assert server.requests == []


async def test_a_tenants_own_credentials_need_no_sharing(remote, services, server):
    services.profile = "production"
    made = await opened(services, server)
    options = remote.service.serve(hits(2), "t1")
    assert len(await attrs.evolve(remote, retriever=made).find(options, tenant="t1")) == 2
