"""Whether single sign-on is there for a tenant: switched on by the operator and part of its plan."""

from typing import Any, Final

from ragwork_hooks.http import Request
from ragwork_hooks.plans import Plans

from ragwork_sso.problems import disabled, not_enabled

SSO: Final = "identity.sso"
JIT: Final = "identity.jit"


class Entitled:
    """Refuses where it is not. Public routes ask it themselves: they have no caller for the plan's gate."""

    def __init__(self, plans: Plans | None, *, enabled: bool) -> None:
        self._plans = plans
        self._enabled = enabled

    async def feature(self, _call: Request[Any, Any]) -> str:
        """The feature key of an admin's route. ``Problem`` 403 when the operator switched it off."""
        self.check_enabled()
        return SSO

    def check_enabled(self) -> None:
        """``Problem`` 403 ``IDENTITY_FEATURE_DISABLED``."""
        if not self._enabled:
            raise disabled()

    async def check(self, tenant_id: str, feature: str) -> None:
        """``Problem`` 403 ``FEATURE_NOT_ENABLED``; without a plugin of plans every tenant has everything."""
        if self._plans is None:
            return
        found = (await self._plans.subscription(tenant_id)).entitlements.get(feature)
        if found is None or not found.enabled:
            raise not_enabled(feature)
