"""The in-process Rego engine keeps the contract of kind ``policy_engine``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ragwork_hooks.policy import PolicyEngine
from ragwork_rego.config import RegoConfig
from ragwork_rego.engine import RegoEngine
from ragwork_testkit.policy_engine import LOOP, PolicyEngineContract
from ragwork_testkit.services import ProviderServices


class TestRegoEngine(PolicyEngineContract):
    @asynccontextmanager
    async def opened(self) -> AsyncIterator[PolicyEngine]:
        engine = RegoEngine(
            RegoConfig(timeout_s=10.0), ProviderServices().shares("workers", 2, waiting=2_000)
        )
        yield engine
        await engine.aclose()

    async def unplug(self, engine: PolicyEngine) -> None:
        assert isinstance(engine, RegoEngine)
        await engine.aclose()

    async def endless(self, engine: PolicyEngine) -> str:
        return await engine.check(LOOP)
