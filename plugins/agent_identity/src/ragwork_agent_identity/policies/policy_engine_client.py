"""The policy engine behind the platform's binding: away means 503, never yes and never no."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Final, TypeVar

from ragwork_hooks.errors import Problem, ProviderError, retry_after
from ragwork_hooks.policy import Policy, PolicyDecision, PolicyEngine
from ragwork_hooks.provider_kinds import POLICY_ENGINE
from ragwork_hooks.services import Services

T = TypeVar("T")
_RETRY_AFTER_S: Final = 5


class PolicyEngineClient:
    """Checks and decides through the provider named in the settings."""

    def __init__(self, services: Services, name: str) -> None:
        self._services = services
        self._name = name

    async def check(self, source: str) -> str:
        """The text as the engine takes it. Raises ``PolicySourceError``, or ``Problem`` 503."""
        engine = await self._engine()
        return await _reached(engine.check(source))

    async def decide(
        self, tenant_id: str, policies: Sequence[Policy], question: Mapping[str, object]
    ) -> Sequence[PolicyDecision]:
        """One decision per policy, in order. Raises ``Problem`` 503."""
        engine = await self._engine()
        return await _reached(engine.decide(tenant_id, policies, question))

    async def _engine(self) -> PolicyEngine:
        return await _reached(self._services.providers.open(POLICY_ENGINE, self._name))


async def _reached(work: Awaitable[T]) -> T:
    try:
        return await work
    except ProviderError as error:
        after = _RETRY_AFTER_S if error.retry_after_s is None else error.retry_after_s
        raise Problem(
            "POLICY_ENGINE_UNAVAILABLE",
            "policies can't be evaluated right now",
            status=503,
            headers=retry_after(after),
        ) from error
