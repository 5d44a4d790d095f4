"""The operator's credentials search the data stores that are shared with a tenant, and no namesake elsewhere."""

import json

import pytest
import pytest_asyncio
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import ProviderContext
from ragwork_hooks.retrieval import Query
from ragwork_testkit.google_search import SearchPart
from ragwork_testkit.google_server import LOCATION, PROJECT
from ragwork_toolkit.vendor.tenant_credentials import secret_name
from ragwork_vertex import retriever
from ragwork_vertex.credentials import PREFIX

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture
async def find(services, server, configured):
    """Asks as a tenant in production, where ``shared`` is shared; gives the documents found."""
    server.stores["s"] = [SearchPart(document_id="a", text="tide")]
    made = []

    async def find_(shared, tenant, *, profile="production", filter=(), **options):
        services.profile = profile
        config = configured(shared_datastores=shared)
        made.append(await retriever.provider.open(ProviderContext(services=services, config=config)))
        query = Query(
            corpus_id="c", text="tide", top_k=5, embedder="none", filter=dict(filter),
            options={"resource_id": "s", **options},
        )  # fmt: skip
        found = await made[-1].prepare(tenant, query)
        return [passage.document_id for passage in found.best]

    yield find_
    for each in made:
        await each.aclose()


@pytest.mark.parametrize(
    ("shared", "tenant", "options"),
    [
        (("t1:s",), "t1", {}),
        (("t1:s",), "t1", {"project": PROJECT, "location": LOCATION}),
        (("*:s",), "t2", {}),
        (("*:other/eu/s",), "t2", {"project": "other", "location": "eu"}),
    ],
)
async def test_a_shared_store_is_searched(find, shared, tenant, options):
    assert await find(shared, tenant, **options) == ["a"]


@pytest.mark.parametrize(
    ("shared", "tenant", "options", "store"),
    [
        ((), "t1", {}, "s"),
        (("t1:s",), "t2", {}, "s"),
        (("t1:s2", "*", "*:"), "t1", {}, "s"),
        (("*:s",), "t1", {"project": "other"}, f"other/{LOCATION}/s"),
        (("*:s",), "t1", {"location": "eu"}, f"{PROJECT}/eu/s"),
    ],
)
async def test_another_store_is_refused_before_it_is_asked(find, server, shared, tenant, options, store):
    for filter in ({}, {"year": []}):  # also when there is no need to ask
        with pytest.raises(ProviderError) as caught:
            await find(shared, tenant, filter=filter, **options)
        assert (caught.value.code, caught.value.retryable) == ("VERTEX_RETRIEVAL_AUTH_ERROR", False)
        assert f"VERTEX_SHARED_DATASTORES to hold {tenant}:{store}" in caught.value.message
    assert server.requests == []


async def test_outside_production_an_unset_list_is_everything(find):
    assert await find((), "t1", profile="development") == ["a"]


async def test_a_tenants_own_credentials_need_no_sharing(find, services, server):
    account = server.account("t1")
    services.secrets.values[secret_name(PREFIX, "t1", "own")] = json.dumps({"tenant": "t1", **account})
    assert await find((), "t1", credentials_ref="own") == ["a"]
