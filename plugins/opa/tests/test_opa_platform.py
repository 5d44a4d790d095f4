"""A platform opens the client by its name, calls it through its own egress client, and shows its health."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.provider_kinds import POLICY_ENGINE
from ragwork_testkit.opa_server import serving
from ragwork_testkit.platform import Running
from ragwork_testkit.policy_engine import READ, READERS, UNAVAILABLE, policy

Platform = Callable[..., AbstractAsyncContextManager[Running]]


async def test_a_platform_decides_with_the_agent(platform: Platform) -> None:
    async with serving("secret") as server:
        settings = {"OPA_URL": server.url, "OPA_TOKEN": "secret", "EGRESS_ALLOW_PRIVATE": "127.0.0.1/32"}
        async with platform(plugins=("opa",), settings=settings) as app:
            services = app.platform.facades["opa"]
            engine = await services.providers.open(POLICY_ENGINE, "opa")
            source = await engine.check(READERS)
            (decision,) = await engine.decide("t1", [policy(source)], READ)
            assert (engine.name, decision.allowed, decision.line) == ("opa", True, 5)
            (probe,) = [each for each in services.registry.probes if each.component == "opa"]
            await probe.check()
            server.how = "failing"
            with pytest.raises(ProviderError):
                await probe.check()


async def test_an_agent_on_an_address_that_is_not_allowed_is_named_with_its_fix(platform: Platform) -> None:
    async with serving() as server:
        async with platform(plugins=("opa",), settings={"OPA_URL": server.url}) as app:
            engine = await app.platform.facades["opa"].providers.open(POLICY_ENGINE, "opa")
            with pytest.raises(ProviderError, match="EGRESS_ALLOW_PRIVATE") as caught:
                await engine.decide("t1", [policy(READERS)], READ)
            assert caught.value.code == UNAVAILABLE
        assert server.calls == []
