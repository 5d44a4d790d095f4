"""Spans over the wire to a real OTLP receiver."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from ragwork_hooks.llm import ChatRequest, Delta, Usage
from ragwork_hooks.provider_kinds import KINDS
from ragwork_hooks.providers import ProviderMiddleware
from ragwork_otlp.provider import provider
from ragwork_testkit.local_server import served


class Collector:
    """Keeps every span it is sent: name → attributes."""

    def __init__(self) -> None:
        self.spans: dict[str, dict[str, Any]] = {}
        self.bodies = b""
        self.parents: dict[str, str] = {}
        self.endpoint = ""

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies += body
        message = ExportTraceServiceRequest.FromString(body)
        found = [s for r in message.resource_spans for scope in r.scope_spans for s in scope.spans]
        names = {span.span_id: span.name for span in found}
        for span in found:
            values = {a.key: a.value.string_value or a.value.int_value for a in span.attributes}
            self.spans[span.name] = values | {"status": span.status.code}
            self.parents[span.name] = names.get(span.parent_span_id, "")
        return web.Response()


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    found = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", found.take)
    async with served(app) as address:
        found.endpoint = address
        yield found


ASK = ChatRequest(messages=(), passages=(), question="secret question", model="big-1")


class Model:
    name = "m"

    async def stream(self, _request: object) -> AsyncIterator[Delta]:
        yield Delta(text="secret document text")
        yield Delta(usage=Usage(input_tokens=3, output_tokens=5))


class Embedder:
    dimension = 4

    async def embed(self, _texts: object, _purpose: object) -> list[list[float]]:
        raise RuntimeError("secret document text")


@attrs.frozen
class Transaction:
    tenant_id: str = "t1"
    mode: str = "read"

    def on_commit(self, _callback: object) -> None: ...

    async def fetchval(self, _sql: str, *args: object) -> object:
        return args[0]


class Database:
    def tenant(self, _tenant: str, _mode: str = "write", *, stale: bool = False) -> Any:
        return self

    async def __aenter__(self) -> Transaction:
        return Transaction()

    async def __aexit__(self, *_: object) -> None: ...


def wrapped(wraps: tuple[ProviderMiddleware[Any], ...], kind: str, provider: object) -> Any:
    return next(w for w in wraps if w.kind.name == kind).wrap("the-name", provider)


async def test_requests_statements_and_providers_make_spans(collector: Collector) -> None:
    tracer = provider.open(collector.endpoint + "/", "test")
    database = tracer.database(Database())  # type: ignore[arg-type]
    model = wrapped(tracer.provider_middleware(KINDS), "llm", Model())
    embedder = wrapped(tracer.provider_middleware(KINDS), "embedding", Embedder())

    with tracer.request("POST", "/v1/run") as answered:
        async with database.tenant("t1", "read") as tx:
            assert await tx.fetchval("SELECT $1", "secret value") == "secret value"
        async with tracer.span("own work", items=3):
            pass
        assert [delta.text async for delta in model.stream(ASK)] == ["secret document text", ""]
        with pytest.raises(RuntimeError):
            await embedder.embed([], "query")
        answered(503)

    assert (model.name, embedder.dimension) == ("m", 4)
    await asyncio.to_thread(tracer.close)

    failed = 2
    assert collector.spans["POST /v1/run"] == {
        "http.request.method": "POST",
        "http.route": "/v1/run",
        "http.response.status_code": 503,
        "status": failed,
    }
    assert collector.spans["postgresql SELECT"]["db.system.name"] == "postgresql"
    assert collector.spans["own work"]["items"] == 3
    assert collector.spans["chat the-name"]["gen_ai.usage.output_tokens"] == 5
    assert collector.spans["chat the-name"]["gen_ai.request.model"] == "big-1"
    assert collector.spans["embeddings the-name"]["error.type"] == "RuntimeError"
    assert collector.spans["embeddings the-name"]["status"] == failed
    assert set(collector.parents.values()) == {"", "POST /v1/run"}
    assert b"secret" not in collector.bodies


async def test_a_stream_that_is_left_early_closes_its_model_and_span(collector: Collector) -> None:
    tracer = provider.open(collector.endpoint, "test")
    deltas = wrapped(tracer.provider_middleware(KINDS), "llm", Model()).stream(None)
    await anext(deltas)
    await deltas.aclose()
    await asyncio.to_thread(tracer.close)
    assert collector.spans["chat the-name"]["status"] == 0


async def test_a_servers_requests_and_statements_are_exported(collector: Collector, platform: Any) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "APP_NAME": "spans"}
    async with platform(plugins=("directory", "apikeys", "rbac"), settings=settings) as app:
        assert (await app.call("GET", "/v1/health")).status == 200
        assert (await app.call("GET", "/v1/admin/api-keys", await app.key())).status == 200
        assert (await app.call("GET", "/v1/admin/api-keys", "wrong")).status == 401
    assert collector.spans["GET /v1/health"]["http.response.status_code"] == 200
    assert collector.spans["GET /v1/admin/api-keys"]["http.response.status_code"] in (200, 401)
    assert "GET /v1/admin/api-keys" in collector.parents.values()
    assert b"spans" in collector.bodies
