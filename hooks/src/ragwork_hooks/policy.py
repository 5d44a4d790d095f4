"""Policies as code: an engine that checks, loads and decides them."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs


class PolicySourceError(Exception):
    """A policy's text is wrong. ``line`` and ``column`` count from 1, 0 when unknown."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


@attrs.frozen(kw_only=True)
class Policy:
    """A checked policy. A changed text has another ``revision``: an engine keeps both apart."""

    id: str
    revision: int
    source: str


@attrs.frozen(kw_only=True)
class PolicyDecision:
    """What one policy said. ``line`` is where it was decided, when the engine can tell."""

    policy_id: str
    revision: int
    allowed: bool
    reason: str
    line: int | None = None


class PolicyEngine(Protocol):
    """Provider of kind ``policy_engine``. Rules live in the package ``oculus.authz``; each policy is judged
    alone, and anything but a plain ``allow == true`` is a no.
    """

    @property
    def name(self) -> str: ...

    async def check(self, source: str) -> str:
        """The text as the engine takes it, older dialects made new. Raises ``PolicySourceError``."""

    async def load(self, tenant_id: str, policies: Sequence[Policy]) -> None:
        """Make these known ahead of the first question. Raises ``ProviderError`` POLICY_ENGINE_UNAVAILABLE."""

    async def decide(
        self, tenant_id: str, policies: Sequence[Policy], question: Mapping[str, object]
    ) -> Sequence[PolicyDecision]:
        """One decision per policy, in order, of exactly the given revisions; loads what it does not know.
        Raises ``ProviderError`` POLICY_ENGINE_UNAVAILABLE, never guesses.
        """
