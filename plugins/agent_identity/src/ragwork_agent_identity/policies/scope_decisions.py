"""May this agent have these scopes: assigned, active policies decide; shadow ones are only watched."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime

import attrs
from ragwork_hooks.errors import Problem
from ragwork_hooks.policy import Policy, PolicyDecision
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Cache

from ragwork_agent_identity.agents.agent_store import Snapshot
from ragwork_agent_identity.policies.policy_engine_client import PolicyEngineClient


@attrs.frozen(kw_only=True)
class ScopeRequest:
    """What is asked for an agent. ``context`` values are plain; the time is added when it is judged."""

    scopes: tuple[str, ...]
    audience: str
    resource: str | None = None
    on_behalf_of: str | None = None
    context: Mapping[str, object] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class ScopeDecision:
    """What was decided. ``denied`` lists the scopes that nobody allows; ``policy_id`` is the first that
    allowed; ``trail`` has every active policy's word on every scope, ``shadow`` the same of watched ones.
    """

    denied: tuple[str, ...]
    policy_id: str | None
    trail: tuple[tuple[str, PolicyDecision], ...]
    shadow: tuple[tuple[str, PolicyDecision], ...]

    def refuse(self) -> None:
        """Raise ``Problem`` 403 POLICY_SCOPE_DENIED unless every scope is allowed."""
        if self.denied:
            raise Problem(
                "POLICY_SCOPE_DENIED",
                f"no active policy of the agent allows {', '.join(self.denied)}",
                status=403,
                details={"scopes": list(self.denied)},
            )


class Decisions:
    """Rules over requests, from a cache keyed by the agent's revision and the whole input.

    Any change to the agent, its assignments or their policies advances the revision: an old ruling is then
    out of reach. The time is not in the key, so what a clock decides may lag by the cache's bound.
    """

    def __init__(self, services: Services, engine: PolicyEngineClient, ttl_s: int) -> None:
        self._engine = engine
        self._clock = services.clock
        self._ttl_s = ttl_s
        self._cache: Cache[ScopeDecision] = services.caches.cache("agents.decisions", ttl_s=ttl_s)

    async def rule(self, agent: Snapshot, request: ScopeRequest) -> ScopeDecision:
        """The ruling over every scope. Raises ``Problem`` 503 when the engine is away and nothing is cached."""

        async def load() -> ScopeDecision:
            return await self._decide(agent, request)

        if not self._ttl_s:
            return await load()
        return await self._cache.get(_key(agent, request), load)

    async def _decide(self, agent: Snapshot, request: ScopeRequest) -> ScopeDecision:
        trail: list[tuple[str, PolicyDecision]] = []
        shadow: list[tuple[str, PolicyDecision]] = []
        denied: list[str] = []
        for scope in request.scopes:
            question = question_of(agent, request, scope, self._clock.now())
            said = await self._ask(agent, (*agent.active, *agent.shadow), question)
            trail += [(scope, word) for word in said[: len(agent.active)]]
            shadow += [(scope, word) for word in said[len(agent.active) :]]
            if not any(word.allowed for word in said[: len(agent.active)]):
                denied.append(scope)
        allowing = (word.policy_id for _, word in trail if word.allowed)
        return ScopeDecision(
            denied=tuple(denied), policy_id=next(allowing, None), trail=tuple(trail), shadow=tuple(shadow)
        )

    async def _ask(
        self, agent: Snapshot, policies: Sequence[Policy], question: Mapping[str, object]
    ) -> Sequence[PolicyDecision]:
        if not policies:
            return ()
        said = await self._engine.decide(agent.tenant_id, policies, question)
        exact = [(p.id, p.revision) for p in policies] == [(w.policy_id, w.revision) for w in said]
        if not exact:
            raise RuntimeError("the policy engine answered for other policies than it was asked about")
        return said


def question_of(agent: Snapshot, request: ScopeRequest, scope: str, now: datetime) -> dict[str, object]:
    """The input document of one scope."""
    subject: dict[str, object] = {
        "id": agent.id,
        "name": agent.name,
        "status": agent.status,
        "tags": list(agent.tags),
        "tenant_id": agent.tenant_id,
    }
    if request.on_behalf_of is not None:
        subject["on_behalf_of"] = request.on_behalf_of
    return {
        "subject": subject,
        "subject_id": agent.id,
        "action": scope,
        "resource": request.resource,
        "scope": list(request.scopes),
        "audience": request.audience,
        "context": {**request.context, "time": now.isoformat()},
    }


def described(words: Sequence[tuple[str, PolicyDecision]]) -> list[dict[str, object]]:
    """Decisions as an audit record holds them."""
    return [
        {
            "action": scope,
            "policy_id": word.policy_id,
            "revision": word.revision,
            "allowed": word.allowed,
            "reason": word.reason[:200],
            "line": word.line,
        }
        for scope, word in words
    ]


def _key(agent: Snapshot, request: ScopeRequest) -> str:
    policies = [(p.id, p.revision) for p in (*agent.active, *agent.shadow)]
    asked = json.dumps(attrs.asdict(request), sort_keys=True, default=str)
    digest = hashlib.sha256(f"{policies}|{asked}".encode()).hexdigest()
    return f"{agent.tenant_id}/{agent.id}/{agent.revision}/{digest}"
