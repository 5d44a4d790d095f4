"""A platform with the plugins that documents meet, and a few calls that every test makes."""

import asyncio
import contextlib
import time
import uuid

import attrs
import pytest
import pytest_asyncio
from ragwork_hooks.providers import NoOptions, Provider, ProviderContext
from ragwork_hooks.retrieval import Passage
from ragwork_kernel.boot.providers import ProviderOffer
from ragwork_testkit.platform import running

PLUGINS = ("directory", "apikeys", "rbac", "wordllama", "pgvector", "documents")


class Engine:
    """A remote engine: what it found, what it was asked, and how it fails or lingers when told to."""

    transactional = False

    def __init__(self, *document_ids):
        self.found = [
            Passage(document_id=d, chunk_id=f"{d}:0", text=f"text of {d}", score=1 / n, source=f"{d}.md")
            for n, d in enumerate(document_ids, 1)
        ]
        self.asked = []
        self.reads = 0
        self.called = asyncio.Event()
        self.error = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def prepare(self, tenant_id, query):
        self.asked.append(query)
        self.called.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self

    async def passages(self, tx, scope):
        self.reads += 1
        return self.found[: self.asked[-1].top_k]


@attrs.frozen
class Api:
    """A running platform and what tests ask of it."""

    app: object
    tenant: str = attrs.field(factory=lambda: f"t-{uuid.uuid4().hex[:8]}")
    other: str = attrs.field(factory=lambda: f"o-{uuid.uuid4().hex[:8]}")

    engine = Engine

    def offer(self, name, provider, options=NoOptions, kind="retrieval"):
        """Make ``provider`` one of the running platform, wrapped like any other."""
        table = self.app.platform.parts.providers
        context = ProviderContext(services=self.app.platform.facades["documents"], config=None)

        async def opened(_context):
            return provider

        table._offers[kind, name] = ProviderOffer(kind=kind, name=name, entry=name, context=context)
        table._loaded[kind, name] = Provider(name=name, open=opened, options=options)
        return provider

    async def key(self, user, role="editor", tenant=None):
        return await self.app.key(tenant=tenant or self.tenant, role=role, user=user)

    async def corpus(self, key, corpus_id="c", config=None):
        body = {"id": corpus_id, "name": corpus_id, "provider_config_json": config or {}}
        answer = await self.app.call("POST", "/v1/corpora", key, json=body)
        assert answer.status == 201, answer.text
        return answer.data

    async def ingest(self, key, text, document_id=None, corpus_id="c", **more):
        body = {"corpus_id": corpus_id, "text": text, "document_id": document_id, **more}
        return await self.app.call("POST", "/v1/documents/text", key, json=body)

    async def settled(self, key, document_id):
        """The document once it is neither queued nor processing."""
        end = time.monotonic() + 15
        while time.monotonic() < end:
            answer = await self.app.call("GET", f"/v1/documents/{document_id}", key)
            if answer.data["status"] in ("succeeded", "failed"):
                return answer.data
            await asyncio.sleep(0.05)
        raise AssertionError(f"not settled: {answer.data}")

    async def indexed(self, key, text, document_id, **more):
        answer = await self.ingest(key, text, document_id, **more)
        assert answer.status == 202, answer.text
        document = await self.settled(key, document_id)
        assert document["status"] == "succeeded", document
        return document

    async def grant(self, admin, document_id, kind, principal, permission="read", **more):
        body = {"principal_type": kind, "principal_id": principal, "permission": permission, **more}
        path = f"/v1/admin/authz/documents/{document_id}/permissions"
        return await self.app.call("POST", path, admin, json=body)

    async def retrieve(self, key, query, corpus_id="c", **more):
        body = {"corpus_id": corpus_id, "query": query, **more}
        return await self.app.call("POST", "/v1/retrieve", key, json=body)

    async def passages(self, key, query, corpus_id="c", **more):
        answer = await self.retrieve(key, query, corpus_id, **more)
        assert answer.status == 200, answer.text
        return answer.data["passages"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(postgres):
    """One platform for the module; every test has tenants of its own in it."""
    async with running(postgres, PLUGINS) as started:
        yield started


@pytest.fixture
def it(app):
    """The module's platform as two fresh tenants see it."""
    return Api(app)


@pytest.fixture
def api(postgres):
    """Starts a platform of one's own: ``async with api(SETTING="value") as it``."""

    @contextlib.asynccontextmanager
    async def start(plugins=PLUGINS, **settings):
        async with running(postgres, plugins, settings) as started:
            yield Api(started)

    return start
