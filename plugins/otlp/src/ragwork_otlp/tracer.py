"""Spans for requests, SQL and providers, exported over OTLP.

All attribute names of the semantic conventions (HTTP, database, generative AI) stand in this module.
"""

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Final, TypeAlias

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode
from ragwork_hooks.provider_kinds import ProviderKind
from ragwork_hooks.providers import ProviderMiddleware
from ragwork_hooks.storage import Database, Mode, Row, Transaction

Attribute: TypeAlias = str | int | float | bool

_METHOD, _ROUTE, _STATUS = "http.request.method", "http.route", "http.response.status_code"
_DB_SYSTEM, _DB_OPERATION = "db.system.name", "db.operation.name"
_ERROR: Final = "error.type"
_GEN_AI_OPERATION, _GEN_AI_PROVIDER = "gen_ai.operation.name", "gen_ai.provider.name"
_GEN_AI_MODEL = "gen_ai.request.model"
_INPUT_TOKENS, _OUTPUT_TOKENS = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"


class OtlpTracer:
    """Implements ``ragwork_hooks.infrastructure.KernelTracer`` for one kernel instance; the process-wide provider of
    OpenTelemetry is left alone. Spans go to the collector at ``endpoint``, a URL without the signal's path.
    """

    def __init__(self, endpoint: str, service: str) -> None:
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": service}), shutdown_on_exit=False
        )
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=5)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("ragwork")

    @contextlib.asynccontextmanager
    async def span(self, name: str, **attributes: Attribute) -> AsyncIterator[None]:
        with self._open(name, SpanKind.INTERNAL, attributes):
            yield

    @contextlib.contextmanager
    def request(self, method: str, route: str) -> Iterator[Callable[[int], None]]:
        facts: dict[str, Attribute] = {_METHOD: method, _ROUTE: route}
        with self._open(f"{method} {route}", SpanKind.SERVER, facts) as span:
            yield functools.partial(self._answered, span)

    def _answered(self, span: Span, status: int) -> None:
        span.set_attribute(_STATUS, status)
        if status >= 500:
            span.set_status(StatusCode.ERROR)

    def database(self, db: Database) -> Database:
        return _TracedDatabase(db, self)

    def statement(self, sql: str) -> AbstractAsyncContextManager[None]:
        """A span for one statement. It names the verb only: parameters are never part of it."""
        verb = sql.split(maxsplit=1)[0].upper()
        return self._client(f"postgresql {verb}", {_DB_SYSTEM: "postgresql", _DB_OPERATION: verb})

    def provider_middleware(self, kinds: Sequence[ProviderKind[Any]]) -> tuple[ProviderMiddleware[Any], ...]:
        return tuple(
            ProviderMiddleware(
                kind=kind, name="tracing", wrap=functools.partial(_TracedProvider, self, kind.spans)
            )
            for kind in kinds
            if kind.spans
        )

    def close(self) -> None:
        self._provider.shutdown()

    def call(self, operation: str, provider: str) -> AbstractContextManager[Span]:
        """A span for one provider call."""
        facts: dict[str, Attribute] = {_GEN_AI_OPERATION: operation, _GEN_AI_PROVIDER: provider}
        return self._open(f"{operation} {provider}", SpanKind.CLIENT, facts)

    def begin(self, operation: str, provider: str) -> Span:
        """A span for a stream, which is no task's current one: its owner ends it."""
        facts: dict[str, Attribute] = {_GEN_AI_OPERATION: operation, _GEN_AI_PROVIDER: provider}
        return self._tracer.start_span(f"{operation} {provider}", kind=SpanKind.CLIENT, attributes=facts)

    def fail(self, span: Span, error: BaseException) -> None:
        """Mark the span. The error's type only: its text may quote a secret or a document."""
        span.set_attribute(_ERROR, type(error).__name__)
        span.set_status(StatusCode.ERROR)

    @contextlib.asynccontextmanager
    async def _client(self, name: str, attributes: dict[str, Attribute]) -> AsyncIterator[None]:
        with self._open(name, SpanKind.CLIENT, attributes):
            yield

    @contextlib.contextmanager
    def _open(self, name: str, kind: SpanKind, attributes: dict[str, Attribute]) -> Iterator[Span]:
        with self._tracer.start_as_current_span(
            name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except Exception as error:
                self.fail(span, error)
                raise


class _TracedDatabase:
    def __init__(self, db: Database, tracer: OtlpTracer) -> None:
        self._db = db
        self._tracer = tracer

    @contextlib.asynccontextmanager
    async def tenant(
        self, tenant_id: str, mode: Mode = "write", *, stale: bool = False
    ) -> AsyncIterator[Transaction]:
        async with self._db.tenant(tenant_id, mode, stale=stale) as tx:
            yield _TracedTransaction(tx, self._tracer)

    @contextlib.asynccontextmanager
    async def anonymous(self) -> AsyncIterator[Transaction]:
        async with self._db.anonymous() as tx:
            yield _TracedTransaction(tx, self._tracer)


class _TracedTransaction:
    def __init__(self, tx: Transaction, tracer: OtlpTracer) -> None:
        self._tx = tx
        self._tracer = tracer
        self.on_commit = tx.on_commit

    @property
    def tenant_id(self) -> str:
        return self._tx.tenant_id

    @property
    def mode(self) -> Mode:
        return self._tx.mode

    async def fetch(self, sql: str, *args: object) -> Any:
        async with self._tracer.statement(sql):
            return await self._tx.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: object) -> Row | None:
        async with self._tracer.statement(sql):
            return await self._tx.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: object) -> Any:
        async with self._tracer.statement(sql):
            return await self._tx.fetchval(sql, *args)

    async def execute(self, sql: str, *args: object) -> str:
        async with self._tracer.statement(sql):
            return await self._tx.execute(sql, *args)

    async def executemany(self, sql: str, args: Any) -> None:
        async with self._tracer.statement(sql):
            await self._tx.executemany(sql, args)


class _TracedProvider:
    """A provider whose calls in ``calls`` make spans; everything else is the provider's own."""

    def __init__(self, tracer: OtlpTracer, calls: Mapping[str, str], name: str, inner: Any) -> None:
        self._tracer = tracer
        self._calls = calls
        self._name = name
        self._inner = inner

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._inner, attribute)
        operation = self._calls.get(attribute)
        if operation is None:
            return value

        def traced(*args: Any, **named: Any) -> Any:
            answer = value(*args, **named)
            if not hasattr(answer, "__aiter__"):
                return self._call(operation, answer)
            return self._stream(operation, answer, getattr(args[0], "model", None) if args else None)

        return traced

    async def _call(self, operation: str, answer: Awaitable[Any]) -> Any:
        with self._tracer.call(operation, self._name):
            return await answer

    async def _stream(
        self, operation: str, deltas: AsyncIterator[Any], model: str | None
    ) -> AsyncIterator[Any]:
        span = self._tracer.begin(operation, self._name)
        if model is not None:
            span.set_attribute(_GEN_AI_MODEL, model)
        try:
            async for delta in deltas:
                usage = getattr(delta, "usage", None)
                if usage is not None:
                    span.set_attribute(_INPUT_TOKENS, usage.input_tokens)
                    span.set_attribute(_OUTPUT_TOKENS, usage.output_tokens)
                yield delta
        except Exception as error:  # a client that leaves is no fault
            self._tracer.fail(span, error)
            raise
        finally:
            span.end()
            close = getattr(deltas, "aclose", None)
            if close is not None:
                await close()
