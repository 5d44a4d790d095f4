"""Providers that behave as told, and guards around them."""

import asyncio
from types import SimpleNamespace

import attrs
import pytest
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.llm import Delta, Usage
from ragwork_kernel.base.shares import SharesFactory
from ragwork_memory.state import InMemoryState
from ragwork_resilience.config import ResilienceConfig
from ragwork_resilience.provider_wrapping import ProviderWrapping
from ragwork_testkit.process import ShiftedClock
from ragwork_testkit.services import RecordedMetrics


class Providers:
    """The binding table of a test: what was put in, already wrapped."""

    def __init__(self):
        self.bound = {}

    def names(self, kind):
        return sorted(name for k, name in self.bound if k == kind.name)

    async def open(self, kind, name):
        if (kind.name, name) not in self.bound:
            raise ProviderError(kind.unknown, f"no {name}")
        return self.bound[kind.name, name]


class Scripted:
    """A provider of every kind. Each call does the next of ``script``: an exception is raised, a number is
    slept in seconds, ``deaf`` ignores cancellation for half a second, anything else is the answer. When
    the script is over it answers "fine".
    """

    name = "scripted"
    dimension = 2
    transactional = False

    def __init__(self, *script):
        self.script = list(script)
        self.calls = 0
        self.running = 0
        self.most = 0
        self.ended = 0
        self.asked = []

    async def act(self):
        self.calls += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await self._next()
        finally:
            self.running -= 1
            self.ended += 1

    async def _next(self):
        step = self.script.pop(0) if self.script else "fine"
        if isinstance(step, BaseException):
            raise step
        if step == "deaf":
            end = asyncio.get_running_loop().time() + 0.5
            while (left := end - asyncio.get_running_loop().time()) > 0:
                try:
                    await asyncio.sleep(left)
                except asyncio.CancelledError:
                    continue
        elif isinstance(step, int | float):
            await asyncio.sleep(step)
        return step

    async def embed(self, texts, purpose):
        return await self.act()

    async def synthesize(self, text):
        return await self.act()

    async def recognize(self, audio, phrases=()):
        return await self.act()

    async def deliver(self, destination, delivery_id, notice):
        await self.act()

    async def prepare(self, tenant_id, query):
        self.asked.append(query)
        return await self.act()

    async def aclose(self):
        pass


class ScriptedModel(Scripted):
    """Each stream plays the next list of steps: texts are yielded, the rest as in ``Scripted``."""

    async def stream(self, request):
        self.calls += 1
        self.running += 1
        self.asked.append(request)
        steps = self.script.pop(0) if self.script else ["fine"]
        try:
            for step in steps:
                if isinstance(step, str) and step != "deaf":
                    yield Delta(text=step)
                else:
                    self.script.insert(0, step)
                    await self._next()
            yield Delta(usage=Usage(input_tokens=1, output_tokens=len(steps)))
        finally:
            self.running -= 1
            self.ended += 1


@attrs.define(slots=False)
class World:
    """A workshop with its services in the open."""

    config: ResilienceConfig
    state: InMemoryState = attrs.field(factory=InMemoryState)
    clock: ShiftedClock = attrs.field(factory=ShiftedClock)
    metrics: RecordedMetrics = attrs.field(factory=RecordedMetrics)
    providers: Providers = attrs.field(factory=Providers)
    wrapping: ProviderWrapping = attrs.field(init=False)

    def __attrs_post_init__(self):
        services = SimpleNamespace(
            state=self.state,
            clock=self.clock,
            metrics=self.metrics,
            providers=self.providers,
            shares=SharesFactory("test").make,
        )
        self.wrapping = ProviderWrapping(services, self.config)

    def embedder(self, inner, name="far"):
        return self.wrapping.embedder(name, inner)

    def count(self, name, *labels):
        return self.metrics.counts[f"integrations_provider_{name}", *labels]


@pytest.fixture
def world():
    def make(state=None, **settings):
        quick = {"ext_timeout_ms": 50, "ext_backoff_ms": 1, "budget_s": 1.0, "cb_open_s": 0.2}
        more = {} if state is None else {"state": state}
        return World(ResilienceConfig(**{**quick, **settings}), **more)

    return make


def down(code="INTEGRATION_UNAVAILABLE", after=None):
    return ProviderError(code, "it is down", retryable=True, retry_after_s=after)


def refused(code="EMBEDDING_AUTH_ERROR"):
    return ProviderError(code, "bad key")


@pytest.fixture
def kit():
    return SimpleNamespace(
        Scripted=Scripted, ScriptedModel=ScriptedModel, down=down, refused=refused, until=until
    )


async def until(true, within_s=3.0):
    """Wait for what other tasks bring about."""
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.005)
