"""The authorization plan: gates asked one after another over a frozen tuple; in doubt, no."""

import logging
import time
from collections.abc import Sequence
from typing import Any, Literal

import attrs
from ragwork_hooks.auth import Principal, may_make_credential
from ragwork_hooks.authz import (
    Abstain,
    Action,
    Allow,
    Decision,
    Deny,
    Everything,
    Gate,
    GateDecision,
    Nothing,
    ReadScope,
    Resource,
    Verdict,
    all_of,
    in_scopes,
    problem_of,
)
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import Request
from ragwork_hooks.storage import Transaction

from ragwork_kernel.data.db import TENANT_ID

log = logging.getLogger(__name__)
OUT_OF_SCOPE = Deny("AUTH_FORBIDDEN", "this credential's scopes do not cover it")
NOBODY_ALLOWS = Deny("AUTHZ_DENIED", "nothing allows this; enable an authorization plugin or grant access")


class AuthorizationGates:
    """The gates of both stages. Set once at boot by ``freeze``; before that everything is denied."""

    def __init__(self) -> None:
        self._stages: dict[str, tuple[Gate, ...]] = {"role": (), "resource": ()}

    def freeze(self, gates: tuple[Gate, ...]) -> None:
        for stage in self._stages:
            self._stages[stage] = tuple(gate for gate in gates if gate.stage == stage)

    async def decide_stage(
        self,
        stage: Literal["role", "resource"],
        principal: Principal,
        action: Action,
        resource: Resource | None,
        tx: Transaction | None,
    ) -> Decision:
        """At least one Allow and no Deny, else denied; the first Deny ends it. Who acts for somebody may do
        what both may.
        """
        if stage == "role" and not in_scopes(principal, action):
            return Decision(verdict=OUT_OF_SCOPE, trail=())
        if stage == "role" and action.makes_credential:
            try:
                may_make_credential(principal)
            except Problem as problem:
                return Decision(verdict=Deny(problem.code, problem.message), trail=())
        decision = await self._decide_alone(stage, principal, action, resource, tx)
        person = principal.on_behalf_of
        if person is None or isinstance(decision.verdict, Deny):
            return decision
        if resource is not None:
            # The permissions are the agent's. Whoever knows the person's asks for both, see ``decide_each``.
            resource = attrs.evolve(resource, permissions=frozenset())
        other = await self.decide_stage(stage, person, action, resource, tx)
        return Decision(verdict=other.verdict, trail=(*decision.trail, *other.trail))

    async def decide_each(
        self, principals: Sequence[tuple[Principal, Resource]], action: Action, tx: Transaction | None
    ) -> Decision:
        """Stage ``resource`` for an agent and those it acts for, each with the resource as it stands to them."""
        trail: tuple[GateDecision, ...] = ()
        for principal, resource in principals:
            decision = await self._decide_alone("resource", principal, action, resource, tx)
            trail += decision.trail
            if isinstance(decision.verdict, Deny):
                return Decision(verdict=decision.verdict, trail=trail)
        return Decision(verdict=Allow() if principals else NOBODY_ALLOWS, trail=trail)

    async def _decide_alone(
        self,
        stage: Literal["role", "resource"],
        principal: Principal,
        action: Action,
        resource: Resource | None,
        tx: Transaction | None,
    ) -> Decision:
        trail: list[GateDecision] = []
        allowed = False
        for gate in self._stages[stage]:
            started = time.perf_counter()
            verdict = await self._ask(gate, principal, action, resource, tx)
            trail.append(GateDecision(gate=gate.name, verdict=verdict, seconds=time.perf_counter() - started))
            if isinstance(verdict, Deny):
                return Decision(verdict=verdict, trail=tuple(trail))
            allowed = allowed or isinstance(verdict, Allow)
        return Decision(verdict=Allow() if allowed else NOBODY_ALLOWS, trail=tuple(trail))

    async def decide(
        self, principal: Principal, action: Action, resource: Resource, tx: Transaction
    ) -> Decision:
        """Both stages, outside HTTP. A resource of another tenant is always denied."""
        if resource.tenant_id != principal.tenant_id or tx.tenant_id != principal.tenant_id:
            return Decision(verdict=Deny(), trail=())
        role = await self.decide_stage("role", principal, action, None, None)
        if isinstance(role.verdict, Deny):
            return role
        final = await self.decide_stage("resource", principal, action, resource, tx)
        return Decision(verdict=final.verdict, trail=(*role.trail, *final.trail))

    async def read_scope(self, principal: Principal, action: Action) -> ReadScope:
        """Everything in the tenant, narrowed by every gate; nothing when a gate fails or none exists."""
        gates = self._stages["resource"]
        if not gates:
            return Nothing()
        scope: ReadScope = Everything()
        for gate in gates:
            try:
                scope = await gate.narrow(principal, action, scope)
            except Problem:
                raise  # the database is away: an empty list would be a lie
            except Exception:
                log.exception("gate %s failed to narrow; nothing is readable", gate.name)
                return Nothing()
        if principal.on_behalf_of is not None:
            return all_of(scope, await self.read_scope(principal.on_behalf_of, action))
        return scope

    async def _ask(
        self,
        gate: Gate,
        principal: Principal,
        action: Action,
        resource: Resource | None,
        tx: Transaction | None,
    ) -> Verdict:
        try:
            verdict = await gate.decide(principal, action, resource, tx)
        except Exception:
            log.exception("gate %s failed; denied", gate.name)
            return Deny("AUTHZ_DENIED", f"the gate {gate.name} could not decide")
        if isinstance(verdict, Allow | Deny | Abstain):
            return verdict
        log.error("gate %s returned %r; denied", gate.name, verdict)
        return Deny("AUTHZ_DENIED", f"the gate {gate.name} could not decide")


def tenant_acted_on(caller: Principal, request: Request[Any, Any]) -> str:
    """Which tenant path or query name, else the caller's own.

    Raises ``Problem``: another than the caller's needs platform scope, be it real or not.
    """
    named = request.path.get("tenant_id") or getattr(request.query, "tenant_id", None) or caller.tenant_id
    if named != caller.tenant_id and not caller.platform:
        raise Problem("AUTH_FORBIDDEN", "a key acts on its own tenant; for others it needs platform scope")
    if not TENANT_ID.fullmatch(named):
        raise Problem("NOT_FOUND", f"tenant {named[:40]!r} does not exist")
    return str(named)


def refuse(decision: Decision) -> None:
    """Raise the decision's refusal, if it is one."""
    if isinstance(decision.verdict, Deny):
        raise problem_of(decision.verdict, 403)
