"""The retriever ``gcp_vertex`` keeps the contract against a server that speaks the wire format."""

import asyncio
import datetime
import ipaddress
import json
import ssl
import threading

import attrs
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import ProviderContext
from ragwork_testkit import google_server
from ragwork_testkit.google_search import SearchPart
from ragwork_testkit.remote_retrieval import Codes, LocalService, Remote, RemoteRetrieverContract
from ragwork_toolkit.vendor.tenant_credentials import secret_name
from ragwork_vertex import retriever
from ragwork_vertex.credentials import PREFIX
from ragwork_vertex.results import MAX_PASSAGE_CHARS

pytestmark = pytest.mark.asyncio(loop_scope="module")

FAULTS = {
    "unauthorized": {"how": "status", "status": 401},
    "forbidden": {"how": "status", "status": 403},
    "refused": {"how": "status", "status": 400},
    "absent": {"how": "status", "status": 404},
    "throttled": {"how": "status", "status": 429, "retry_after": "7"},
    "broken": {"how": "status", "status": 500},
    "away": {"how": "status", "status": 503},
    "stall": {"how": "stall"},
    "drop": {"how": "drop"},
    "malformed": {"how": "garbage"},
    "truncated": {"how": "truncate"},
    "wrong_shape": {"how": "wrong_shape"},
}
CODES = Codes(
    config="VERTEX_RETRIEVAL_CONFIG_MISSING",
    auth="VERTEX_RETRIEVAL_AUTH_ERROR",
    failed="VERTEX_RETRIEVAL_ERROR",
)


class Vertex(LocalService):
    """The server as the kit drives it."""

    def __init__(self, server, secrets, **options):
        super().__init__(server, FAULTS)
        self.secrets = secrets
        self.options = options

    def serve(self, hits, tenant=None):
        store = f"store-{len(self.server.stores)}"
        self.server.stores[store] = [
            SearchPart(document_id=hit.document_id, text=hit.text, score=hit.score, fields=hit.metadata)
            for hit in hits
        ]
        options = {"resource_id": store, **self.options}
        if tenant is None:
            return options
        account = self.server.account(tenant)
        self.server.owners[store] = account["client_email"]
        self.secrets.values[secret_name(PREFIX, tenant, "own")] = json.dumps({"tenant": tenant, **account})
        return {**options, "credentials_ref": "own"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_retriever(shared_services, configured):
    made = await retriever.provider.open(ProviderContext(services=shared_services, config=configured()))
    yield made
    await made.aclose()


@pytest.fixture
def remote(server, services, shared_retriever):
    return Remote(
        retriever=shared_retriever, service=Vertex(server, services.secrets), codes=CODES, timeout_s=2.0
    )


@pytest_asyncio.fixture
async def opened(services, configured):
    """Opens a retriever of its own settings."""
    made = []

    async def open_(**more):
        context = ProviderContext(services=services, config=configured(**more))
        made.append(await retriever.provider.open(context))
        return made[-1]

    yield open_
    for each in made:
        await each.aclose()


class TestVertexRetrieverContract(RemoteRetrieverContract):
    pass


class TestVertexChunksContract(RemoteRetrieverContract):
    @pytest.fixture
    def remote(self, server, services, shared_retriever):
        service = Vertex(server, services.secrets, content="chunks")
        return Remote(retriever=shared_retriever, service=service, codes=CODES, timeout_s=2.0)


def store(server, *parts, **options):
    """Options of a data store with these parts."""
    server.stores["s"] = parts
    return {"resource_id": "s", **options}


def part(document_id="d", text="text", **more):
    return SearchPart(document_id=document_id, text=text, **more)


async def test_the_request_is_what_the_service_documents(remote, server):
    options = store(server, project="other-project", location="eu", filter_keys={"year": "doc_year"})
    await remote.find(options, "when?", top_k=7, filter={"year": [1, 2.5], "lang": 'e"n', "x": True})
    (sent,) = server.requests
    assert sent.path == (
        "/v1/projects/other-project/locations/eu/collections/default_collection"
        "/dataStores/s/servingConfigs/default_config:search"
    )
    assert sent.body == {
        "query": "when?",
        "pageSize": 7,
        "filter": '(doc_year = 1 OR doc_year = 2.5) AND (lang: ANY("e\\"n")) AND (x: ANY("true"))',
        "contentSearchSpec": {
            "extractiveContentSpec": {"maxExtractiveSegmentCount": 7, "returnExtractiveSegmentScore": True}
        },
    }
    assert sent.caller == "operator@test.iam.gserviceaccount.com"


@pytest.mark.parametrize(
    ("location", "host"),
    [("global", "discoveryengine"), ("eu", "eu-discoveryengine")],
)
async def test_a_location_has_googles_own_host(location, host):
    assert retriever._endpoint(location) == f"https://{host}.googleapis.com"


@pytest.mark.parametrize(
    ("settings", "options", "named"),
    [
        ({}, {"resource_id": None}, "'resource_id'"),
        ({"project": None}, {}, "GOOGLE_CLOUD_PROJECT"),
        ({"location": None}, {}, "GOOGLE_CLOUD_LOCATION"),
        ({}, {"credentials_ref": "prod-1"}, "VERTEX_CREDENTIALS_T1_PROD_1"),
    ],
)
async def test_what_is_missing_is_named(remote, opened, server, settings, options, named):
    made = attrs.evolve(remote, retriever=await opened(**settings))
    error = await made.failure({**store(server), **options})
    assert (error.code, error.retryable) == (CODES.config, False)
    assert named in error.message
    assert not server.requests


async def test_the_location_has_a_second_name(remote, opened, server):
    made = attrs.evolve(remote, retriever=await opened(location=None, vertex_location="us"))
    await made.find(store(server))
    assert "/locations/us/" in server.requests[0].path


@pytest.mark.parametrize("content", [None, "", "{}", '{"type": "authorized_user"}'])
async def test_without_usable_credentials_it_is_an_auth_error(remote, opened, server, tmp_path, content):
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
    made = attrs.evolve(remote, retriever=await opened(credentials_file=str(path)))
    error = await made.failure(store(server))
    assert (error.code, error.retryable) == (CODES.auth, False)


async def test_without_any_credentials_it_is_an_auth_error(remote, opened, server):
    made = attrs.evolve(remote, retriever=await opened(credentials_file=None))
    error = await made.failure(store(server))
    assert (error.code, error.retryable) == (CODES.auth, False)
    assert "GOOGLE_APPLICATION_CREDENTIALS" in error.message


async def test_a_strangers_account_is_an_auth_error(remote, opened, server, tmp_path):
    path = tmp_path / "key.json"
    path.write_text(json.dumps(server.account("stranger")))
    server.tokens.revoke("stranger")
    made = attrs.evolve(remote, retriever=await opened(credentials_file=str(path)))
    error = await made.failure(store(server))
    assert (error.code, error.retryable) == (CODES.auth, False)
    assert len(server.requests) == 1


async def test_credentials_that_can_not_be_exchanged_now_are_an_outage(remote, opened, server, tmp_path):
    path = tmp_path / "person.json"
    person = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    path.write_text(json.dumps({**person, "token_uri": "http://127.0.0.1:9/token"}))
    made = attrs.evolve(remote, retriever=await opened(credentials_file=str(path)))
    error = await made.failure(store(server))
    assert (error.code, error.retryable) == (CODES.failed, True)
    assert not server.requests


async def test_tenants_whose_ids_look_alike_do_not_share_a_secret(remote, services, server):
    name = secret_name(PREFIX, "team.a", "own")
    assert name == secret_name(PREFIX, "team-a", "own") == "VERTEX_CREDENTIALS_TEAM_A_OWN"
    options = store(server, part(), credentials_ref="own")
    services.secrets.values[name] = json.dumps({"tenant": "team.a", **server.account("a")})
    assert len(await remote.find(options, tenant="team.a")) == 1
    assert (await remote.failure(options, tenant="team-a")).code == CODES.config


@pytest.mark.parametrize(
    "secret",
    [
        "not json",
        "[]",
        '{"tenant": "t1"}',
        '{"tenant": "t1", "type": "external_account", "credential_source": {"executable": {}}}',
        '{"tenant": "t1", "type": "service_account", "private_key": "sesame"}',
        '{"tenant": "t1", "type": "service_account", "private_key": "sesame", "client_email": "a", "token_uri": "b"}',
    ],
)
async def test_a_secret_that_is_no_service_account_is_refused_unread(remote, services, server, secret):
    services.secrets.values[secret_name(PREFIX, "t1", "own")] = secret
    error = await remote.failure(store(server, credentials_ref="own"))
    assert (error.code, error.retryable) == (CODES.config, False)
    assert secret_name(PREFIX, "t1", "own") in error.message
    assert "sesame" not in str(error)
    assert error.__cause__ is None


async def test_only_the_key_of_a_service_account_is_taken(remote, services, server):
    secret = {"tenant": "t1", **server.account("a"), "type": "external_account"}
    services.secrets.values[secret_name(PREFIX, "t1", "own")] = json.dumps(secret)
    error = await remote.failure(store(server, credentials_ref="own"))
    assert (error.code, error.retryable) == (CODES.config, False)


async def test_a_replaced_secret_counts_at_once(remote, services, server):
    options = store(server, part(), credentials_ref="own")
    for name in ("first", "second"):
        secret = {"tenant": "t1", **server.account(name)}
        services.secrets.values[secret_name(PREFIX, "t1", "own")] = json.dumps(secret)
        await remote.find(options)
    assert [sent.caller.split("@")[0] for sent in server.requests] == ["first", "second"]


async def test_without_scores_every_document_gets_its_turn(remote, server):
    parts = [part(d, f"{d} gate {n}", score=None) for d in "abc" for n in range(3)]
    found = await remote.find(store(server, *parts), top_k=5)
    assert [p.text for p in found] == ["a gate 0", "b gate 0", "c gate 0", "a gate 1", "b gate 1"]
    assert [p.score for p in found] == [1 / n for n in range(1, 6)]


async def test_snippets_come_without_their_markup(remote, server):
    text = "the gate & the lock"
    (found,) = await remote.find(store(server, part(text=text), content="snippets"))
    assert found.text == text


async def test_pages_are_read_until_there_is_enough(remote, server):
    server.page_size = 3
    options = store(server, *(part(f"d{n}", f"gate {n}", score=0.9 - n / 100) for n in range(20)))
    assert len(await remote.find(options, top_k=8)) == 8
    assert [sent.body.get("pageToken") for sent in server.requests] == [None, "3", "6"]
    assert len({json.dumps({**sent.body, "pageToken": ""}, sort_keys=True) for sent in server.requests}) == 1


async def test_the_search_for_enough_ends(remote, server):
    server.page_size = 1
    options = store(server, *(part(text=f"gate {n}") for n in range(20)), content="chunks")
    assert len(await remote.find(options, distinct="document")) == 1
    assert len(server.requests) == 5


async def test_a_result_that_names_no_document_is_counted(remote, services, server):
    assert not await remote.find(store(server, part("no/such id")))
    assert services.metrics.counts == {("vertex_results_dropped_total",): 1}


async def test_a_huge_passage_is_cut(remote, server):
    (found,) = await remote.find(store(server, part(text="x" * (MAX_PASSAGE_CHARS + 1))))
    assert len(found.text) == found.end == MAX_PASSAGE_CHARS


async def test_a_redirect_is_not_followed(remote, server):
    server.fail("redirect")
    error = await remote.failure(store(server))
    assert error.code == CODES.failed
    assert (len(server.requests), server.strayed) == (1, 0)


async def test_a_broken_line_does_not_spoil_the_next_call(remote, server):
    options = store(server, part())
    for fault in ("drop", "stall", "truncated", "drop"):
        remote.service.fail(fault)
        await remote.failure(options)
        assert len(await remote.find(options)) == 1


async def arrived(server, count):
    for _ in range(300):
        if len(server.requests) >= count:
            break
        await asyncio.sleep(0.01)


async def test_closing_cuts_off_what_runs_and_closing_twice_is_fine(remote, opened, server):
    made = await opened(search_timeout_s=60)
    server.fail("stall")
    task = asyncio.create_task(attrs.evolve(remote, retriever=made).find(store(server)))
    await arrived(server, 1)
    await made.aclose()
    with pytest.raises(ProviderError):
        await asyncio.wait_for(task, 1.0)
    await made.aclose()


async def test_waiting_for_a_place_counts_against_the_time(remote, opened, server):
    made = attrs.evolve(remote, retriever=await opened(search_max_concurrency=1, search_timeout_s=0.5))
    options = store(server, part())
    for _ in range(3):
        server.fail("stall")
    waits = (made.find(options) for _ in range(3))
    errors = await asyncio.wait_for(asyncio.gather(*waits, return_exceptions=True), 1.0)
    assert [error.code for error in errors] == [CODES.failed] * 3
    server.faults.clear()
    assert len(await made.find(options)) == 1


async def test_cancelling_hangs_up_through_tls(remote, opened, services, monkeypatch, tmp_path):
    certificate, context = self_signed(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate)
    async with google_server.serving(context) as server:
        path = tmp_path / "key.json"
        path.write_text(json.dumps(server.account()))
        made = await opened(
            search_endpoint_url=server.base_url, credentials_file=str(path), search_timeout_s=60
        )
        made = attrs.evolve(remote, retriever=made)
        options = store(server, part())
        assert len(await made.find(options)) == 1
        server.fail("stall")
        task = asyncio.create_task(made.find(options))
        await arrived(server, 2)
        threads = threading.active_count()
        task.cancel()
        await asyncio.wait([task])
        for _ in range(100):
            if server.abandoned:
                break
            await asyncio.sleep(0.01)
        assert server.abandoned == 1
        assert len(await made.find(options)) == 1
        assert threading.active_count() <= threads


def self_signed(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return str(certificate), context
