"""``/api/v1/policies``: write, check, watch, activate, compare, roll back, simulate."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import attrs
from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import choice, number, text
from ragwork_hooks.http import AnyRoute, Empty, Request, Response
from ragwork_hooks.policy import Policy, PolicyDecision, PolicySourceError
from ragwork_hooks.services import Services
from ragwork_toolkit.paging import PageQuery
from ragwork_toolkit.patching import changes
from ragwork_toolkit.routes import read_route, untransacted_route, write_route

from ragwork_agent_identity.agents.agent_store import AgentStore, Snapshot, agent_not_found
from ragwork_agent_identity.answers import noted
from ragwork_agent_identity.error_formats import OCULUS
from ragwork_agent_identity.policies import scopes
from ragwork_agent_identity.policies.policy_engine_client import PolicyEngineClient
from ragwork_agent_identity.policies.policy_store import PolicyStore, StoredPolicy, Version, difference
from ragwork_agent_identity.policies.scope_decisions import ScopeRequest, described, question_of
from ragwork_agent_identity.tokens.token_verifier import default_audience

_BASE: Final = "/api/v1/policies"
_ONE: Final = _BASE + "/{policy_id}"
_READ: Final = Action(name="agent_policy.read", role=Role.ADMIN)
_WRITE: Final = Action(name="agent_policy.update", role=Role.ADMIN)
#: What lets agents have more than before.
_WRITE_CREDENTIAL: Final = attrs.evolve(_WRITE, makes_credential=True)
_MAX_CONTENT: Final = 65_536
_MODES: Final = ("active", "shadow", "inactive")


@attrs.frozen(kw_only=True)
class PolicyCreate:
    """A new policy."""

    #: What people call it. Example: "readers-only"
    name: str = text(min_length=1, max_length=200)
    #: What it is for. Example: "Reading, nothing else"
    description: str | None = text(default=None, max_length=2000)
    #: Always `rego`.
    policy_type: str = choice("rego", default="rego")
    #: The policy in Rego. Example: "package oculus.authz\n\nimport rego.v1\n\ndefault allow :=
    #: false\n\nallow if \"documents:read\" in input.scopes"
    content: str = text(min_length=1, max_length=_MAX_CONTENT)
    #: `active` judges, `shadow` is only recorded, `inactive` is not asked. Example: "active"
    mode: str = choice(*_MODES, default="active")


@attrs.frozen(kw_only=True)
class PolicyPut:
    """A new version of a policy; what is absent or null stays."""

    #: What people call it. Example: "readers-only"
    name: str | None = text(default=None, min_length=1, max_length=200)
    #: What it is for. Example: "Reading, nothing else"
    description: str | None = text(default=None, max_length=2000)
    #: Always `rego`.
    policy_type: str = choice("rego", default="rego")
    #: The policy in Rego. Example: "package oculus.authz\n\nimport rego.v1\n\ndefault allow :=
    #: false\n\nallow if \"documents:read\" in input.scopes"
    content: str | None = text(default=None, min_length=1, max_length=_MAX_CONTENT)
    #: How it is used.
    mode: str | None = choice(*_MODES, default=None)


@attrs.frozen(kw_only=True)
class ValidateRequest:
    """A text to check."""

    #: The policy in Rego. Example: "package oculus.authz\n\nimport rego.v1\n\ndefault allow :=
    #: false\n\nallow if \"documents:read\" in input.scopes"
    content: str = text(min_length=1, max_length=_MAX_CONTENT)


@attrs.frozen(kw_only=True)
class SimulateRequest:
    """``content`` or ``policy_id`` simulates that one policy; neither, those of the subject."""

    #: The agent that asks. Example: "ag_3f9a"
    subject_id: str = text(min_length=1, max_length=64)
    #: What it asks for. Example: "documents:read"
    action: str = text(min_length=1, max_length=128)
    #: What it is about.
    resource: str | None = text(default=None, max_length=512)
    #: Whom the token is for.
    audience: str | None = text(default=None, max_length=512)
    #: Anything else that policies read. Example: {}
    context: dict[str, Any] = attrs.field(factory=dict)
    #: Only this policy.
    policy_id: str | None = text(default=None, max_length=64)
    #: A policy that is not stored, instead.
    content: str | None = text(default=None, min_length=1, max_length=_MAX_CONTENT)


@attrs.frozen(kw_only=True)
class PoliciesQuery(PageQuery):
    """Which policies to list."""

    #: Whether to leave out those that do not judge.
    active_only: bool = False


@attrs.frozen(kw_only=True)
class VersionQuery:
    """Which version."""

    #: The version, from 1.
    version: int = number(ge=1, le=1_000_000)


@attrs.frozen(kw_only=True)
class CompareQuery:
    """Which versions."""

    #: The earlier version.
    from_: int = number(ge=1, le=1_000_000)
    #: The later version.
    to: int = number(ge=1, le=1_000_000)


@attrs.frozen(kw_only=True)
class AgentPolicyResponse:
    """A Rego policy."""

    #: The policy. Example: "2f0c6b1e-3f38-4c6c-8d51-3c5b4d1a7b42"
    id: str
    #: What people call it. Example: "readers-only"
    name: str
    #: What it is for. Example: "Reading, nothing else"
    description: str
    #: Always `rego`. Example: "rego"
    policy_type: str
    #: The policy in Rego. Example: "package oculus.authz\n\nimport rego.v1\n\ndefault allow :=
    #: false\n\nallow if \"documents:read\" in input.scopes"
    content: str
    #: How it is used. Example: "active"
    mode: str
    #: Whether it judges. Example: true
    is_active: bool
    #: Whether it is only recorded. Example: false
    shadow_mode: bool
    #: Its newest version, from 1. Example: 1
    version: int
    #: When it was made.
    created_at: datetime
    #: When it last changed.
    updated_at: datetime


@attrs.frozen(kw_only=True)
class AgentPolicyList:
    """A page of policies."""

    #: What stands on this page.
    policies: list[AgentPolicyResponse]
    #: How many it holds at most. Example: 50
    limit: int
    #: How many were skipped. Example: 0
    offset: int


class PoliciesApi:
    """Handlers and declarations."""

    def __init__(
        self, services: Services, policies: PolicyStore, agents: AgentStore, engine: PolicyEngineClient
    ) -> None:
        self._services = services
        self._policies = policies
        self._agents = agents
        self._engine = engine

    def routes(self) -> tuple[AnyRoute, ...]:
        return (*self._policy_routes(), *self._version_routes(), *self._trial_routes())

    def _policy_routes(self) -> tuple[AnyRoute, ...]:
        return (
            write_route(
                name="policies.create", method="POST", path=_BASE, summary="Create a policy",
                handler=self.create,
                action=Action(name="agent_policy.create", role=Role.ADMIN, makes_credential=True),
                audit_event="policy.created", idempotency="accepted", response=AgentPolicyResponse,
                body=PolicyCreate, status=201, error_format=OCULUS,
            ),
            read_route(
                name="policies.list", path=_BASE, summary="List policies, newest first", handler=self.list,
                action=_READ, response=AgentPolicyList, query=PoliciesQuery, error_format=OCULUS,
            ),
            read_route(
                name="policies.get", path=_ONE, summary="One policy", handler=self.get, action=_READ,
                response=AgentPolicyResponse, error_format=OCULUS,
            ),
            write_route(
                name="policies.put", method="PUT", path=_ONE,
                summary="Change a policy; the version before is kept", handler=self.put,
                action=_WRITE_CREDENTIAL, audit_event="policy.updated", idempotency="accepted",
                response=AgentPolicyResponse, body=PolicyPut, error_format=OCULUS,
            ),
            write_route(
                name="policies.delete", method="DELETE", path=_ONE,
                summary="Delete a policy and take it from every agent", handler=self.delete,
                action=Action(name="agent_policy.delete", role=Role.ADMIN), audit_event="policy.deleted",
                idempotency="accepted", response=None, status=204, error_format=OCULUS,
            ),
        )  # fmt: skip

    def _version_routes(self) -> tuple[AnyRoute, ...]:
        return (
            read_route(
                name="policies.versions", path=_ONE + "/versions", summary="Versions, newest first",
                handler=self.versions, action=_READ, response=dict[str, Any], query=PageQuery, error_format=OCULUS,
            ),
            read_route(
                name="policies.compare", path=_ONE + "/compare", summary="What changed between two versions",
                handler=self.compare, action=_READ, response=dict[str, Any], query=CompareQuery,
                error_format=OCULUS,
            ),
            read_route(
                name="policies.version", path=_ONE + "/versions/{version}", summary="One version",
                handler=self.version, action=_READ, response=dict[str, Any], error_format=OCULUS,
            ),
            write_route(
                name="policies.rollback", method="POST", path=_ONE + "/rollback",
                summary="Make an earlier version's text the newest version", handler=self.rollback,
                action=_WRITE_CREDENTIAL, audit_event="policy.rolled_back", idempotency="accepted",
                response=AgentPolicyResponse, query=VersionQuery, error_format=OCULUS,
            ),
            write_route(
                name="policies.activate", method="POST", path=_ONE + "/activate",
                summary="Let a policy decide", handler=self.activate, action=_WRITE_CREDENTIAL,
                audit_event="policy.activated", idempotency="accepted", response=AgentPolicyResponse,
                error_format=OCULUS,
            ),
            write_route(
                name="policies.shadow", method="POST", path=_ONE + "/shadow",
                summary="Evaluate and record a policy without letting it decide", handler=self.shadow,
                action=_WRITE, audit_event="policy.shadowed", idempotency="accepted",
                response=AgentPolicyResponse, error_format=OCULUS,
            ),
            write_route(
                name="policies.deactivate", method="POST", path=_ONE + "/deactivate",
                summary="Switch a policy off", handler=self.deactivate, action=_WRITE,
                audit_event="policy.deactivated", idempotency="accepted", response=AgentPolicyResponse,
                error_format=OCULUS,
            ),
        )  # fmt: skip

    def _trial_routes(self) -> tuple[AnyRoute, ...]:
        # They change nothing, and the engine must not be waited for inside a transaction.
        return (
            untransacted_route(
                name="policies.simulate", method="POST", path=_BASE + "/simulate",
                summary="What the policies would say to a request, and in which line", handler=self.simulate,
                action=_READ, rate_class="read", audit_event=None, response=dict[str, Any],
                body=SimulateRequest, error_format=OCULUS,
            ),
            untransacted_route(
                name="policies.validate", method="POST", path=_BASE + "/validate",
                summary="Whether a text is a policy, and where it is wrong", handler=self.validate,
                action=_READ, rate_class="read", audit_event=None, response=dict[str, Any],
                body=ValidateRequest, error_format=OCULUS,
            ),
        )  # fmt: skip

    async def create(self, request: Request[PolicyCreate, Empty]) -> Response:
        body = request.body
        policy = await self._policies.create(
            request.tx,
            request.principal.user_id,
            name=body.name,
            description=body.description or "",
            mode=body.mode,
            content=body.content,
            source=await self._policies.check(body.content),
        )
        return attrs.evolve(noted(_response(policy), "policy", policy.id, mode=policy.mode), status=201)

    async def list(self, request: Request[Empty, PoliciesQuery]) -> dict[str, Any]:
        query = request.query
        policies = await self._policies.page(
            request.tx, active_only=query.active_only, limit=query.limit, offset=query.offset
        )
        return {"policies": [_response(p) for p in policies], "limit": query.limit, "offset": query.offset}

    async def get(self, request: Request[Empty, Empty]) -> AgentPolicyResponse:
        return _response(await self._policies.get(request.tx, request.path["policy_id"]))

    async def put(self, request: Request[PolicyPut, Empty]) -> Response:
        policy = await self._policies.locked(request.tx, request.path["policy_id"])
        given = {name: value for name, value in changes(request.body).items() if name != "policy_type"}
        changed = attrs.evolve(policy, **given)
        source = await self._policies.check(changed.content)
        stored = await self._policies.update(request.tx, request.principal.user_id, changed, source)
        return noted(_response(stored), "policy", policy.id, version=stored.revision, fields=sorted(given))

    async def delete(self, request: Request[Empty, Empty]) -> Response:
        policy = await self._policies.locked(request.tx, request.path["policy_id"])
        await self._policies.delete(request.tx, policy.id)
        return attrs.evolve(noted(None, "policy", policy.id), status=204)

    async def versions(self, request: Request[Empty, PageQuery]) -> dict[str, Any]:
        policy = await self._policies.get(request.tx, request.path["policy_id"])
        query = request.query
        versions = await self._policies.versions(
            request.tx, policy.id, limit=query.limit, offset=query.offset
        )
        return {"versions": [_version(v) for v in versions]}

    async def version(self, request: Request[Empty, Empty]) -> dict[str, Any]:
        policy = await self._policies.get(request.tx, request.path["policy_id"])
        wanted = request.path["version"]
        if not wanted.isascii() or not wanted.isdigit() or len(wanted) > 6:
            raise Problem("POLICY_NOT_FOUND", "the policy has no such version", status=404)
        return _version(await self._policies.version(request.tx, policy.id, int(wanted)))

    async def compare(self, request: Request[Empty, CompareQuery]) -> dict[str, Any]:
        policy = await self._policies.get(request.tx, request.path["policy_id"])
        old = await self._policies.version(request.tx, policy.id, request.query.from_)
        new = await self._policies.version(request.tx, policy.id, request.query.to)
        return {"from": old.revision, "to": new.revision, "diff": difference(old, new)}

    async def rollback(self, request: Request[Empty, VersionQuery]) -> Response:
        policy = await self._policies.locked(request.tx, request.path["policy_id"])
        old = await self._policies.version(request.tx, policy.id, request.query.version)
        changed = attrs.evolve(policy, content=old.content, name=old.name)
        stored = await self._policies.update(request.tx, request.principal.user_id, changed, old.source)
        return noted(_response(stored), "policy", policy.id, version=stored.revision, back_to=old.revision)

    async def activate(self, request: Request[Empty, Empty]) -> Response:
        return await self._mode(request, "active")

    async def shadow(self, request: Request[Empty, Empty]) -> Response:
        return await self._mode(request, "shadow")

    async def deactivate(self, request: Request[Empty, Empty]) -> Response:
        return await self._mode(request, "inactive")

    async def simulate(self, request: Request[SimulateRequest, Empty]) -> dict[str, Any]:
        body = request.body
        scopes.checked([body.action])
        agent = await self._agents.snapshot(request.principal.tenant_id, body.subject_id)
        if agent is None:
            raise agent_not_found(body.subject_id)
        scope_request = ScopeRequest(
            scopes=(body.action,),
            audience=body.audience or default_audience(agent.tenant_id),
            resource=body.resource,
            context=body.context,
        )
        question = question_of(agent, scope_request, body.action, self._services.clock.now())
        policies = await self._simulated(request, agent)
        said = await self._engine.decide(agent.tenant_id, policies, question) if policies else ()
        deciding = next((word for word in said if word.allowed), said[0] if said else None)
        return _verdict(body.action, said, deciding) | {"input": question}

    async def validate(self, request: Request[ValidateRequest, Empty]) -> dict[str, Any]:
        try:
            source = await self._engine.check(request.body.content)
        except PolicySourceError as error:
            return {"valid": False, "error": error.message, "line": error.line, "column": error.column}
        return {"valid": True, "source": source}

    async def _simulated(
        self, request: Request[SimulateRequest, Empty], agent: Snapshot
    ) -> tuple[Policy, ...]:
        body = request.body
        if body.content is not None:
            return (Policy(id="simulated", revision=0, source=await self._policies.check(body.content)),)
        if body.policy_id is None:
            return agent.active
        async with self._services.db.tenant(agent.tenant_id, "read") as tx:
            stored = await self._policies.get(tx, body.policy_id)
            return (await self._policies.judgeable(tx, stored),)

    async def _mode(self, request: Request[Empty, Empty], mode: str) -> Response:
        policy = await self._policies.locked(request.tx, request.path["policy_id"])
        stored = await self._policies.set_mode(request.tx, policy.id, mode)
        return attrs.evolve(noted(_response(stored), "policy", policy.id), changed=policy.mode != mode)


def _response(policy: StoredPolicy) -> AgentPolicyResponse:
    shared = ("id", "name", "description", "mode", "content", "created_at", "updated_at")
    return AgentPolicyResponse(
        **{name: getattr(policy, name) for name in shared},
        policy_type="rego",
        is_active=policy.mode == "active",
        shadow_mode=policy.mode == "shadow",
        version=policy.revision,
    )


def _version(version: Version) -> dict[str, Any]:
    return {
        "version": version.revision,
        "name": version.name,
        "content": version.content,
        "created_by": version.created_by,
        "created_at": version.created_at,
    }


def _verdict(action: str, said: Sequence[PolicyDecision], deciding: PolicyDecision | None) -> dict[str, Any]:
    allowed = deciding is not None and deciding.allowed
    reason = "No active policy is assigned" if deciding is None else deciding.reason
    return {
        "allowed": allowed,
        "decision": "allow" if allowed else "deny",
        "reason": reason,
        "policy_id": None if deciding is None else deciding.policy_id,
        "line": None if deciding is None else deciding.line,
        "decisions": described([(action, word) for word in said]),
    }
