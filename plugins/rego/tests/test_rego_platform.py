"""A platform opens the engine by its name."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from ragwork_hooks.provider_kinds import POLICY_ENGINE
from ragwork_testkit.platform import Running
from ragwork_testkit.policy_engine import READ, READERS, policy

Platform = Callable[..., AbstractAsyncContextManager[Running]]


async def test_a_platform_decides_with_rego(platform: Platform) -> None:
    async with platform(plugins=("rego",), settings={"REGO_WORKERS": "1"}) as app:
        engine = await app.platform.facades["rego"].providers.open(POLICY_ENGINE, "rego")
        source = await engine.check(READERS)
        (decision,) = await engine.decide("t1", [policy(source)], READ)
        assert (engine.name, decision.allowed, decision.line) == ("rego", True, 5)
