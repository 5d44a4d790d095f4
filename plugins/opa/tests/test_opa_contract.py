"""The Open Policy Agent's client keeps the contract of kind ``policy_engine``. The agent's HTTP layer is ours."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import ClassVar

from ragwork_hooks.policy import PolicyEngine
from ragwork_kernel.base.egress import EgressClient
from ragwork_opa.client import OpaClient
from ragwork_opa.config import OpaConfig
from ragwork_opa.engine import OpaEngine
from ragwork_testkit.opa_server import OpaServer, serving
from ragwork_testkit.policy_engine import LOOP, PolicyEngineContract
from ragwork_testkit.services import ProviderServices


class TestOpaEngine(PolicyEngineContract):
    # A module on its way to the agent is everybody's, so it outlives a caller, by this much at most.
    settings: ClassVar[Mapping[str, str]] = {"OPA_TIMEOUT_S": "0.5"}
    server: OpaServer

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[PolicyEngine]:
        egress = EgressClient(["127.0.0.1/32"])
        async with serving("secret") as server:
            self.server = server
            config = OpaConfig(url=server.url, token="secret")
            places = ProviderServices().shares("questions", 32, waiting=3_000)
            yield OpaEngine(OpaClient(egress, config), config.modules, places)
        await egress.close()

    async def unplug(self, engine: PolicyEngine) -> None:
        self.server.how = "failing"

    async def endless(self, engine: PolicyEngine) -> str:
        source = await engine.check(LOOP)
        self.server.how = "stall"
        return source
