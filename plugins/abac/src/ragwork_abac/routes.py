"""The routes under ``/v1/admin/authz/policies``."""

from collections.abc import Mapping
from typing import Final

import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import AnyRoute, Empty, Request, Response, Route
from ragwork_hooks.services import Services
from ragwork_toolkit.patching import changes
from ragwork_toolkit.routes import read_route, write_route
from ragwork_toolkit.rows import from_object

from ragwork_abac.conditions import ConditionError
from ragwork_abac.config import AbacConfig
from ragwork_abac.gate import MANAGE, READ, SIMULATE
from ragwork_abac.policies import BUILT_IN, WILDCARD, AbacPolicy, PolicySet, parsed_policy
from ragwork_abac.schemas import (
    PolicyCreateRequest,
    PolicyListQuery,
    PolicyListResponse,
    PolicyPatchRequest,
    PolicyResponse,
    PolicySimulationRequest,
    PolicySimulationResponse,
)
from ragwork_abac.simulation import facts_of, simulated
from ragwork_abac.store import AbacPolicyStore

_PATH: Final = "/v1/admin/authz/policies"


class PolicyApi:
    """The handlers."""

    def __init__(self, services: Services, store: AbacPolicyStore, config: AbacConfig) -> None:
        self._services = services
        self._store = store
        self._config = config

    async def list(self, request: Request[Empty, PolicyListQuery]) -> PolicyListResponse:
        """A window of the policies, in the order in which they are asked."""
        policies = [*await self._store.page(request.tx), *(BUILT_IN if request.query.include_global else ())]
        policies.sort(key=lambda policy: (-policy.priority, policy.id))
        return PolicyListResponse(items=[_response(policy) for policy in policies[request.query.window]])

    async def create(self, request: Request[PolicyCreateRequest, Empty]) -> Response:
        """A new policy. Raises ``Problem`` 422 for one that can't be taken."""
        body = request.body
        policy = AbacPolicy(
            id="",
            tenant_id=request.tx.tenant_id,
            version=1,
            condition=body.condition_json or {},
            created_by=request.principal.user_id,
            name=body.name,
            effect=body.effect,
            resource_type=body.resource_type,
            action=body.action,
            priority=body.priority,
            enabled=body.enabled,
        )
        self._check(policy)
        return _changed(await self._store.create(request.tx, policy), status=201)

    async def patch(self, request: Request[PolicyPatchRequest, Empty]) -> Response:
        """Another version of a policy. Raises ``Problem`` 404, 422."""
        body = request.body
        old = await self._store.locked(request.tx, request.path["policy_id"])
        new = _patched(old, body)
        self._check(new)
        if new == old:
            return _unchanged(old)
        return _changed(await self._store.replace(request.tx, new))

    async def enable(self, request: Request[Empty, Empty]) -> Response:
        """Put a policy in force. Raises ``Problem`` 404."""
        return await self._switch(request, enabled=True)

    async def disable(self, request: Request[Empty, Empty]) -> Response:
        """Put a policy out of force. Raises ``Problem`` 404."""
        return await self._switch(request, enabled=False)

    async def simulate(self, request: Request[PolicySimulationRequest, Empty]) -> PolicySimulationResponse:
        """What would be decided if the policy were in force, whatever it is now.

        Raises ``Problem`` 400 for attributes that no condition knows, 403 when simulation is switched off.
        """
        config, body = self._config, request.body
        if not config.simulation:
            raise Problem("AUTHZ_DENIED", "simulation is switched off; AUTHZ_SIMULATION_ENABLED serves it")
        tried = await self._store.one(request.tx, request.path["policy_id"])
        facts = facts_of(body, request.principal, self._services.clock.now())
        if not config.enabled:
            return PolicySimulationResponse(
                allowed=True, reason="abac_disabled", matched_policy_id=None, matched_policies=[], trace=[]
            )
        others = [policy for policy in await self._store.page(request.tx) if policy.id != tried.id]
        own = [] if tried.tenant_id is None else [attrs.evolve(tried, enabled=True)]
        rules = PolicySet.of(request.tx.tenant_id, [*others, *own])
        return simulated(rules, body, facts, default_deny=config.default_deny)

    async def _switch(self, request: Request[Empty, Empty], *, enabled: bool) -> Response:
        policy = await self._store.locked(request.tx, request.path["policy_id"])
        if policy.enabled == enabled:
            return _unchanged(policy)
        return _changed(await self._store.replace(request.tx, attrs.evolve(policy, enabled=enabled)))

    def _check(self, policy: AbacPolicy) -> None:
        try:
            parsed_policy(policy, max_bytes=self._config.max_bytes, max_depth=self._config.max_depth)
        except ConditionError as fault:
            raise _refused(fault) from None
        if policy.resource_type == policy.action == WILDCARD and not self._config.wildcards:
            message = "and resource_type must not both be *; AUTHZ_ALLOW_WILDCARDS takes them"
            raise _refused(ConditionError(("action",), message))

    def routes(self) -> tuple[AnyRoute, ...]:
        """Their declarations."""
        taken = ("AUTHZ_POLICY_INVALID", "AUTHZ_POLICY_TOO_COMPLEX")
        return (
            read_route(
                name="authz.policies.list", path=_PATH, summary="List policies", handler=self.list,
                action=READ, response=PolicyListResponse, query=PolicyListQuery, legacy=True,
            ),
            write_route(
                name="authz.policies.create", method="POST", path=_PATH, summary="Create a policy",
                handler=self.create, action=MANAGE, audit_event="authz.policy.created",
                idempotency="accepted", response=PolicyResponse, body=PolicyCreateRequest, status=201,
                errors=taken, legacy=True,
            ),
            write_route(
                name="authz.policies.patch", method="PATCH", path=f"{_PATH}/{{policy_id}}",
                summary="Change a policy", handler=self.patch, action=MANAGE,
                audit_event="authz.policy.updated", idempotency="accepted", response=PolicyResponse,
                body=PolicyPatchRequest, errors=("NOT_FOUND", *taken), legacy=True,
            ),
            write_route(
                name="authz.policies.enable", method="POST", path=f"{_PATH}/{{policy_id}}/enable",
                summary="Put a policy in force", handler=self.enable, action=MANAGE,
                audit_event="authz.policy.enabled", idempotency="accepted", response=PolicyResponse,
                errors=("NOT_FOUND",), legacy=True,
            ),
            write_route(
                name="authz.policies.disable", method="POST", path=f"{_PATH}/{{policy_id}}/disable",
                summary="Put a policy out of force", handler=self.disable, action=MANAGE,
                audit_event="authz.policy.disabled", idempotency="accepted", response=PolicyResponse,
                errors=("NOT_FOUND",), legacy=True,
            ),
            Route(
                name="authz.policies.simulate", method="POST", path=f"{_PATH}/{{policy_id}}/simulate",
                summary="What the policies would decide with this one in force", handler=self.simulate,
                scope="tenant", action=SIMULATE, rate_class="mutation", idempotency="none",
                audit_event="authz.simulation.run", feature=None, stale_reads=False, transaction="read",
                response=PolicySimulationResponse, body=PolicySimulationRequest, body_kind="json",
                errors=("AUTHZ_DENIED", "AUTHZ_SIMULATION_INVALID", "NOT_FOUND"), legacy=True,
            ),
        )  # fmt: skip


def routes(services: Services, store: AbacPolicyStore, config: AbacConfig) -> tuple[AnyRoute, ...]:
    """The policy routes."""
    return PolicyApi(services, store, config).routes()


def _patched(old: AbacPolicy, body: PolicyPatchRequest) -> AbacPolicy:
    named = dict(changes(body))
    return attrs.evolve(old, condition=named.pop("condition_json", old.condition), **named)


def _refused(fault: ConditionError) -> Problem:
    path = ["body", *fault.path]
    return Problem(
        "AUTHZ_POLICY_TOO_COMPLEX" if fault.too_complex else "AUTHZ_POLICY_INVALID",
        f"{'.'.join(str(part) for part in fault.path)[:200]} {fault.message}",
        details={"errors": [{"type": "value_error", "loc": path, "msg": fault.message}]},
    )


def _changed(policy: AbacPolicy, status: int = 200) -> Response:
    metadata: Mapping[str, object] = {
        "version": policy.version,
        "effect": policy.effect,
        "resource_type": policy.resource_type,
        "action": policy.action,
        "priority": policy.priority,
        "enabled": policy.enabled,
    }
    note = AuditDetails(resource_type="policy", resource_id=policy.id, metadata=metadata)
    return Response(data=_response(policy), status=status, audit=note)


def _unchanged(policy: AbacPolicy) -> Response:
    return Response(data=_response(policy), changed=False)


def _response(policy: AbacPolicy) -> PolicyResponse:
    return from_object(PolicyResponse, policy, condition_json=dict(policy.condition))
