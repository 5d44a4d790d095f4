"""``/api/v1/agents``: a tenant's administrators and their agents."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import attrs
from ragwork_hooks.auth import Role, may_make_credential
from ragwork_hooks.authz import Action
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import choice, items, number, text
from ragwork_hooks.http import AnyRoute, Empty, Request, Response
from ragwork_hooks.services import Services
from ragwork_toolkit.paging import PageQuery
from ragwork_toolkit.patching import changes
from ragwork_toolkit.routes import read_route, write_route

from ragwork_agent_identity.agents.agent_store import Agent, AgentStore, Status
from ragwork_agent_identity.agents.credentials import CredentialStore
from ragwork_agent_identity.answers import noted
from ragwork_agent_identity.config import AgentsConfig
from ragwork_agent_identity.error_formats import OCULUS
from ragwork_agent_identity.policies import scopes
from ragwork_agent_identity.tokens import constraints, token_signing
from ragwork_agent_identity.tokens.token_signing import Unverified
from ragwork_agent_identity.tokens.token_store import TokenStore

_BASE: Final = "/api/v1/agents"
_ONE: Final = _BASE + "/{agent_id}"
_READ: Final = Action(name="agent_identity.read", role=Role.ADMIN)
_WRITE: Final = Action(name="agent_identity.update", role=Role.ADMIN)
#: What lets somebody in who could not come in before.
_WRITE_CREDENTIAL: Final = attrs.evolve(_WRITE, makes_credential=True)
_MAX_LIST: Final = 100
_DEFAULT_OVERLAP_S: Final = 900
_MAX_KEYS: Final = 10
#: What a body calls otherwise than ``Agent``.
_NAMES: Final = {"token_ttl_seconds": "token_ttl_s", "dpop_bound_access_tokens": "dpop_bound"}


@attrs.frozen(kw_only=True)
class AgentPatch:
    """What to change of an agent; what is absent or null stays."""

    #: What people call it. Example: "mail-triage"
    name: str | None = text(default=None, min_length=1, max_length=200)
    #: What it is for. Example: "Sorts incoming mail"
    description: str | None = text(default=None, max_length=2000)
    #: Words to find it by. Example: ["mail"]
    tags: list[str] | None = items(default=None)
    #: Rego policies that judge it. Example: []
    policy_ids: list[str] | None = items(default=None)
    #: How long its tokens live; null for the server's. Example: 900
    token_ttl_seconds: int | None = number(default=None, ge=scopes.MIN_TTL_S, le=scopes.MAX_TTL_S)
    #: What its tokens may carry at most. Example: ["documents:read"]
    scopes: list[str] | None = items(default=None)
    #: What it is built with. Example: "langgraph"
    framework: str | None = text(default=None, max_length=100)
    #: Further limits that its tokens carry. Example: {}
    constraints: dict[str, Any] | None = None
    #: Its public keys, where it signs its own assertions; null for none.
    jwks: dict[str, Any] | None = None
    #: Whether its tokens only work with a proof of possession. Example: false
    dpop_bound_access_tokens: bool | None = None


@attrs.frozen(kw_only=True)
class AgentCreate(AgentPatch):
    """A new agent."""

    #: What people call it. Example: "mail-triage"
    name: str = text(min_length=1, max_length=200)


@attrs.frozen(kw_only=True)
class AgentsQuery(PageQuery):
    """Which agents to list."""

    #: Only those with this tag.
    tag: str | None = text(default=None, max_length=100)
    #: Only those in this state.
    status: str | None = choice("active", "suspended", "revoked", default=None)


@attrs.frozen(kw_only=True)
class RotateRequest:
    """How a secret is replaced."""

    #: Seconds for which the old one still works. Example: 3600
    overlap_window_seconds: int = number(default=_DEFAULT_OVERLAP_S, ge=0, le=86_400)


@attrs.frozen(kw_only=True)
class KeyCreate:
    """A new key of an agent."""

    #: What to call it. Example: "ci"
    name: str | None = text(default=None, min_length=1, max_length=120)
    #: What it may do at most. Example: ["documents:read"]
    scopes: list[str] = items()
    #: When it ends; null for the server's longest. Example: 90
    expires_in_days: int | None = number(default=None, ge=1, le=3650)


@attrs.frozen(kw_only=True)
class AgentResponse:
    """An agent."""

    #: The agent. Example: "ag_3f9a"
    id: str
    #: What it calls itself at the token endpoint. Example: "oc_3f9a"
    client_id: str
    #: What people call it. Example: "mail-triage"
    name: str
    #: What it is for. Example: "Sorts incoming mail"
    description: str
    #: Words to find it by. Example: ["mail"]
    tags: list[str]
    #: `active`, `suspended` or `revoked`. Example: "active"
    status: str
    #: Rego policies that judge it. Example: []
    policy_ids: list[str]
    #: How long its tokens live; null for the server's. Example: 900
    token_ttl_seconds: int | None
    #: What its tokens may carry at most. Example: ["documents:read"]
    scopes: list[str]
    #: What it is built with. Example: "langgraph"
    framework: str | None
    #: Further limits that its tokens carry. Example: {}
    constraints: dict[str, Any]
    #: Its public keys; null for none. Example: null
    jwks: dict[str, Any] | None
    #: Whether its tokens only work with a proof of possession. Example: false
    dpop_bound_access_tokens: bool
    #: How often it was changed, from 1. Example: 1
    revision: int
    #: When it was made.
    created_at: datetime
    #: When it last changed.
    updated_at: datetime


@attrs.frozen(kw_only=True)
class AgentCreatedResponse(AgentResponse):
    """A new agent. ``client_secret`` is shown once, a repeated request gets ``null``."""

    #: Its secret, shown once; null ever after. Example: null
    client_secret: str | None = None


@attrs.frozen(kw_only=True)
class AgentList:
    """A page of agents."""

    #: What stands on this page.
    agents: list[AgentResponse]
    #: How many it holds at most. Example: 50
    limit: int
    #: How many were skipped. Example: 0
    offset: int


class AgentsApi:
    """Handlers and declarations."""

    def __init__(
        self,
        services: Services,
        config: AgentsConfig,
        *,
        agents: AgentStore,
        credentials: CredentialStore,
        tokens: TokenStore,
    ) -> None:
        self._services = services
        self._config = config
        self._agents = agents
        self._credentials = credentials
        self._tokens = tokens

    def routes(self) -> tuple[AnyRoute, ...]:
        return (
            *self._agent_routes(),
            *self._status_routes(),
            *self._credential_routes(),
        )

    def _agent_routes(self) -> tuple[AnyRoute, ...]:
        return (
            write_route(
                name="agents.create", method="POST", path=_BASE,
                summary="Create an agent; its client secret is shown this once", handler=self.create,
                action=Action(name="agent_identity.create", role=Role.ADMIN, makes_credential=True),
                audit_event="agent.created", idempotency="accepted", response=AgentCreatedResponse,
                body=AgentCreate, status=201, error_format=OCULUS,
            ),
            read_route(
                name="agents.list", path=_BASE, summary="List agents, newest first", handler=self.list,
                action=_READ, response=AgentList, query=AgentsQuery, error_format=OCULUS,
            ),
            read_route(
                name="agents.get", path=_ONE, summary="One agent", handler=self.get, action=_READ,
                response=AgentResponse, error_format=OCULUS,
            ),
            write_route(
                name="agents.patch", method="PATCH", path=_ONE, summary="Change an agent or its policies",
                handler=self.patch, action=_WRITE_CREDENTIAL, audit_event="agent.updated",
                idempotency="accepted", response=AgentResponse, body=AgentPatch, error_format=OCULUS,
            ),
            write_route(
                name="agents.delete", method="DELETE", path=_ONE,
                summary="Revoke an agent for good, with all its tokens and credentials", handler=self.revoke,
                action=Action(name="agent_identity.delete", role=Role.ADMIN), audit_event="agent.revoked",
                idempotency="accepted", response=AgentResponse, error_format=OCULUS,
            ),
        )  # fmt: skip

    def _status_routes(self) -> tuple[AnyRoute, ...]:
        return (
            write_route(
                name="agents.suspend", method="POST", path=_ONE + "/suspend",
                summary="Stop an agent; its live tokens are revoked", handler=self.suspend, action=_WRITE,
                audit_event="agent.suspended", idempotency="accepted", response=AgentResponse, error_format=OCULUS,
            ),
            write_route(
                name="agents.unsuspend", method="POST", path=_ONE + "/unsuspend",
                summary="Let a suspended agent have tokens again", handler=self.unsuspend,
                action=_WRITE_CREDENTIAL, audit_event="agent.unsuspended", idempotency="accepted",
                response=AgentResponse, error_format=OCULUS,
            ),
            write_route(
                name="agents.revoke", method="POST", path=_ONE + "/revoke",
                summary="Revoke an agent for good", handler=self.revoke, action=_WRITE,
                audit_event="agent.revoked", idempotency="accepted", response=AgentResponse, error_format=OCULUS,
            ),
        )  # fmt: skip

    def _credential_routes(self) -> tuple[AnyRoute, ...]:
        return (
            write_route(
                name="agents.rotate", method="POST", path=_ONE + "/credentials/rotate",
                summary="Make a new client secret; the old one works for the overlap", handler=self.rotate,
                action=_WRITE_CREDENTIAL, audit_event="agent.credentials_rotated", idempotency="accepted",
                response=dict[str, Any], body=RotateRequest, body_kind="optional_json", error_format=OCULUS,
            ),
            write_route(
                name="agents.enroll_token", method="POST", path=_ONE + "/enroll-token",
                summary="Make a one-time token that the agent enrols with", handler=self.enroll_token,
                action=_WRITE_CREDENTIAL, audit_event="agent.enroll_token_created", idempotency="accepted",
                response=dict[str, Any], status=201, error_format=OCULUS,
            ),
            write_route(
                name="agents.keys.create", method="POST", path=_ONE + "/api-keys",
                summary="Make an API key for an agent that can't do OAuth", handler=self.create_key,
                action=_WRITE_CREDENTIAL, audit_event="agent.api_key_created", idempotency="accepted",
                response=dict[str, Any], body=KeyCreate, status=201, error_format=OCULUS,
            ),
            read_route(
                name="agents.keys.list", path=_ONE + "/api-keys", summary="An agent's API keys",
                handler=self.keys, action=_READ, response=dict[str, Any], query=PageQuery, error_format=OCULUS,
            ),
            write_route(
                name="agents.keys.revoke", method="DELETE", path=_ONE + "/api-keys/{key_id}",
                summary="Revoke an agent's API key", handler=self.revoke_key, action=_WRITE,
                audit_event="agent.api_key_revoked", idempotency="accepted", response=dict[str, Any],
                error_format=OCULUS,
            ),
        )  # fmt: skip

    async def create(self, request: Request[AgentCreate, Empty]) -> Response:
        unsaid: dict[str, Any] = {
            "description": "",
            "tags": [],
            "policy_ids": [],
            "token_ttl_s": None,
            "scopes": [],
            "framework": None,
            "constraints": {},
            "jwks": None,
            "dpop_bound": False,
        }
        values = unsaid | _checked(request.body)
        ends_by = may_make_credential(request.principal)
        agent, secret = await self._agents.create(request.tx, request.principal.user_id, values, ends_by)
        said = AgentCreatedResponse(**attrs.asdict(_response(agent), recurse=False))
        shown = attrs.evolve(said, client_secret=secret.text)
        return attrs.evolve(noted(shown, "agent", agent.id, replay=said), status=201)

    async def list(self, request: Request[Empty, AgentsQuery]) -> dict[str, Any]:
        query = request.query
        agents = await self._agents.page(
            request.tx, tag=query.tag, status=query.status, limit=query.limit, offset=query.offset
        )
        return {
            "agents": [_response(agent) for agent in agents],
            "limit": query.limit,
            "offset": query.offset,
        }

    async def get(self, request: Request[Empty, Empty]) -> AgentResponse:
        return _response(await self._agents.get(request.tx, request.path["agent_id"]))

    async def patch(self, request: Request[AgentPatch, Empty]) -> Response:
        agent = await self._changeable(request)
        given = _checked(request.body)
        policies = given.pop("policy_ids", None)
        changed = await self._agents.update(request.tx, attrs.evolve(agent, **given), policies)
        return noted(_response(changed), "agent", agent.id, fields=sorted(given), policy_ids=policies)

    async def suspend(self, request: Request[Empty, Empty]) -> Response:
        return await self._stop(request, await self._changeable(request), "suspended")

    async def unsuspend(self, request: Request[Empty, Empty]) -> Response:
        agent = await self._changeable(request)
        changed = await self._agents.set_status(request.tx, agent, "active")
        reply = noted(_response(changed), "agent", agent.id)
        return attrs.evolve(reply, changed=agent.status != "active")

    async def revoke(self, request: Request[Empty, Empty]) -> Response:
        agent = await self._agents.locked(request.tx, request.path["agent_id"])
        return await self._stop(request, agent, "revoked")

    async def rotate(self, request: Request[RotateRequest, Empty]) -> Response:
        agent = await self._changeable(request)
        overlap = request.body.overlap_window_seconds
        secret, ended = await self._agents.rotate_secret(
            request.tx, agent, timedelta(seconds=overlap), may_make_credential(request.principal)
        )
        for secret_id in ended:
            await self._tokens.end(
                request.tx, "credential", secret_id, "system_kill", request.principal.credential_id
            )
        said: dict[str, Any] = {"client_id": agent.client_id, "overlap_window_seconds": overlap}
        shown = {**said, "client_secret": secret.text}
        return noted(shown, "agent", agent.id, replay={**said, "client_secret": None}, overlap_s=overlap)

    async def enroll_token(self, request: Request[Empty, Empty]) -> Response:
        agent = await self._changeable(request)
        ttl = timedelta(seconds=self._config.enroll_ttl_s)
        ends_by = may_make_credential(request.principal)
        token, end = await self._credentials.enrolment(request.tx, agent, ttl, ends_by)
        said = {"agent_id": agent.id, "expires_at": end}
        shown = {**said, "enroll_token": token}
        return attrs.evolve(
            noted(shown, "agent", agent.id, replay={**said, "enroll_token": None}), status=201
        )

    async def create_key(self, request: Request[KeyCreate, Empty]) -> Response:
        agent = await self._changeable(request)
        wanted = scopes.checked(request.body.scopes)
        if not wanted:
            raise scopes.invalid_scope("scopes must not be empty")
        days = request.body.expires_in_days or self._config.api_key_days
        key, text_ = await self._credentials.add_key(
            request.tx, agent, request.body.name, wanted, days, may_make_credential(request.principal)
        )
        said = attrs.asdict(key)
        shown = {**said, "api_key": text_}
        reply = noted(shown, "agent", agent.id, replay={**said, "api_key": None}, key_id=key.id)
        return attrs.evolve(reply, status=201)

    async def keys(self, request: Request[Empty, PageQuery]) -> dict[str, Any]:
        agent = await self._agents.get(request.tx, request.path["agent_id"])
        query = request.query
        keys = await self._credentials.keys(request.tx, agent.id, limit=query.limit, offset=query.offset)
        return {"api_keys": keys}

    async def revoke_key(self, request: Request[Empty, Empty]) -> Response:
        agent_id, key_id = request.path["agent_id"], request.path["key_id"]
        key = await self._credentials.revoke_key(request.tx, agent_id, key_id)
        return noted(attrs.asdict(key), "agent", agent_id, key_id=key_id)

    async def _stop(self, request: Request[Any, Any], agent: Agent, status: Status) -> Response:
        changed = await self._agents.set_status(request.tx, agent, status)
        ended = await self._tokens.end(
            request.tx, "agent", agent.id, "system_kill", request.principal.credential_id
        )
        reply = noted(_response(changed), "agent", agent.id, tokens_ended=ended)
        return attrs.evolve(reply, changed=agent.status != status)

    async def _changeable(self, request: Request[Any, Any]) -> Agent:
        agent = await self._agents.locked(request.tx, request.path["agent_id"])
        if agent.status == "revoked":
            raise Problem("CONFLICT", "a revoked agent stays as it is; create another")
        return agent


def _response(agent: Agent) -> AgentResponse:
    known = {field.name for field in attrs.fields(AgentResponse)}
    values = {name: value for name, value in attrs.asdict(agent).items() if name in known}
    return AgentResponse(
        **values, token_ttl_seconds=agent.token_ttl_s, dpop_bound_access_tokens=agent.dpop_bound
    )


def _checked(body: AgentPatch) -> dict[str, Any]:
    """What ``body`` says of an agent, under the names of ``Agent``; and its ``policy_ids``."""
    checks: Mapping[str, Callable[[Any], object]] = {
        "tags": _tags,
        "policy_ids": _ids,
        "scopes": lambda said: list(scopes.checked(said)),
        "constraints": constraints.checked,
        "jwks": _jwks,
    }
    said = {name: checks[name](value) if name in checks else value for name, value in changes(body).items()}
    return {_NAMES.get(name, name): value for name, value in said.items()}


def _tags(tags: list[str]) -> list[str]:
    if len(tags) > _MAX_LIST or any(not 0 < len(tag) <= 100 or not tag.isprintable() for tag in tags):
        raise _invalid(f"tags: {_MAX_LIST} at most, each 1 to 100 printable characters")
    return list(dict.fromkeys(tags))


def _ids(ids: list[str]) -> list[str]:
    if len(ids) > _MAX_LIST or any(not 0 < len(one) <= 64 or not one.isprintable() for one in ids):
        raise _invalid(f"policy_ids: {_MAX_LIST} at most, each the id of a policy")
    return list(dict.fromkeys(ids))


def _jwks(jwks: dict[str, Any]) -> dict[str, Any]:
    """Public keys only, few, and of the kinds we verify with."""
    keys = jwks.get("keys")
    if set(jwks) != {"keys"} or not isinstance(keys, list) or len(keys) > _MAX_KEYS:
        raise _invalid(f"jwks must be an object with up to {_MAX_KEYS} keys")
    try:
        for key in keys:
            if not isinstance(key, dict):
                raise Unverified("a key must be an object")
            token_signing.client_key(key)
    except Unverified as error:
        raise _invalid(f"jwks: {error}") from error
    return jwks


def _invalid(message: str) -> Problem:
    return Problem("VALIDATION_ERROR", message, status=400)
