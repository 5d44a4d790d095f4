"""What the SDK synchronises: capability maps, integration credentials, tool events; and who sets them up."""

import hashlib
import json
from typing import Any, Final

import attrs
from ragwork_hooks.audit import AuditEvent, AuditLog
from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.authz import Action
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import items, text
from ragwork_hooks.http import AnyRoute, Empty, File, Request, Response
from ragwork_toolkit.audit_records import origin_of
from ragwork_toolkit.paging import PageQuery
from ragwork_toolkit.routes import read_route, write_route

from ragwork_agent_identity.answers import conditional, noted
from ragwork_agent_identity.authenticator import INTEGRATION_SCOPE, SDK_SCOPE
from ragwork_agent_identity.error_formats import OCULUS
from ragwork_agent_identity.sdk.integration_store import Integrations
from ragwork_agent_identity.tokens.token_validity import KIND

_USE: Final = Action(name=SDK_SCOPE, role=Role.READER)
_MANAGE: Final = Action(name="agent_integration.manage", role=Role.ADMIN)
#: What agents then log in with elsewhere, or may ask for.
_MANAGE_CREDENTIAL: Final = attrs.evolve(_MANAGE, makes_credential=True)
_NAME: Final = r"[a-z0-9][a-z0-9_-]{0,63}"
_MAX_EVENTS: Final = 100
_MAX_DENIED: Final = 100
_MAX_EVENT_BYTES: Final = 8192
_BASE: Final = "/api/v1/integrations"


@attrs.frozen(kw_only=True)
class FetchQuery:
    """Which service's secret."""

    #: The service's name. Example: "mail"
    integration: str = text(min_length=1, max_length=64, pattern=_NAME)


@attrs.frozen(kw_only=True)
class RegisterRequest:
    """A secret that agents use with a service."""

    #: The service's name. Example: "mail"
    integration: str = text(min_length=1, max_length=64, pattern=_NAME)
    #: What kind of secret it is. Example: "api_key"
    credential_type: str = text(default="api_key", min_length=1, max_length=64, pattern=r"[A-Za-z0-9_-]+")
    #: The secret; it is never shown again to people. Example: "s3cret"
    value: str = text(min_length=1, max_length=16_384)


@attrs.frozen(kw_only=True)
class IntegrationPut:
    """What agents may do with a service."""

    #: Actions by scope. Example: {"mail:read": ["list", "get"]}
    capabilities: dict[str, Any] | None = None
    #: Actions that nobody may. Example: ["delete"]
    deny_always: list[str] | None = items(default=None, max_items=_MAX_DENIED, max_length=128)


@attrs.frozen(kw_only=True)
class EventsBatch:
    """What an agent's SDK saw."""

    #: The events, oldest first. Example: [{"event_type": "tool.called", "resource": "mail"}]
    events: list[dict[str, Any]] = items(max_items=_MAX_EVENTS, max_bytes=_MAX_EVENTS * _MAX_EVENT_BYTES)


class SyncApi:
    """Handlers and declarations."""

    def __init__(self, integrations: Integrations, log: AuditLog | None) -> None:
        self._integrations = integrations
        self._log = log

    def routes(self) -> tuple[AnyRoute, ...]:
        answer = dict[str, Any]
        return (
            read_route(
                name="sync.capability_maps", path="/v1/sync/capability-maps",
                summary="The capabilities of the integrations that the agent's scopes name",
                handler=self.capability_maps, action=_USE, response=answer, query=PageQuery, error_format=OCULUS,
            ),
            # Handing a secret out is recorded before it is, so this is no plain read.
            read_route(
                name="sync.credential", path="/v1/credentials/fetch",
                summary="The credential of an integration that the agent's scopes name", handler=self.fetch,
                action=_USE, audit_event="credential.fetched", response=answer, query=FetchQuery,
                error_format=OCULUS,
            ),
            write_route(
                name="sync.events", method="POST", path="/v1/audit/events/batch",
                summary="Record what an agent's tools were asked to do", handler=self.events, action=_USE,
                audit_event="agent.events_received", idempotency="accepted", response=answer,
                body=EventsBatch, error_format=OCULUS,
            ),
            write_route(
                name="sync.register", method="POST", path="/v1/credentials/register",
                summary="Keep the credential of an integration", handler=self.register,
                action=_MANAGE_CREDENTIAL, audit_event="credential.registered", idempotency="accepted",
                response=answer, body=RegisterRequest, status=201, error_format=OCULUS,
            ),
            read_route(
                name="integrations.list", path=_BASE, summary="Integrations, by name", handler=self.list,
                action=_MANAGE, response=answer, query=PageQuery, error_format=OCULUS,
            ),
            write_route(
                name="integrations.put", method="PUT", path=_BASE + "/{name}",
                summary="Say what an integration can do", handler=self.put, action=_MANAGE_CREDENTIAL,
                audit_event="integration.updated", idempotency="accepted", response=answer,
                body=IntegrationPut, error_format=OCULUS,
            ),
            write_route(
                name="integrations.delete", method="DELETE", path=_BASE + "/{name}",
                summary="Forget an integration and its credential", handler=self.delete, action=_MANAGE,
                audit_event="integration.deleted", idempotency="accepted", response=None, status=204,
                error_format=OCULUS,
            ),
        )  # fmt: skip

    async def capability_maps(self, request: Request[Empty, PageQuery]) -> File:
        names = sorted(_integrations_of(request.principal))
        found = await self._integrations.page(
            request.tx, names, limit=request.query.limit, offset=request.query.offset
        )
        maps = {i.name: {"capabilities": i.capabilities, "deny_always": i.deny_always} for i in found}
        body = json.dumps({"integrations": maps}, separators=(",", ":"), sort_keys=True).encode()
        reply = conditional(request, body, f'"{hashlib.sha256(body).hexdigest()[:32]}"', 0)
        return attrs.evolve(reply, headers={**reply.headers, "Cache-Control": "private, no-cache"})

    async def fetch(self, request: Request[Empty, FetchQuery]) -> dict[str, str]:
        name = request.query.integration
        if name not in _integrations_of(request.principal):
            raise Problem("POLICY_SCOPE_DENIED", f"no scope of the agent's token names {name!r}", status=403)
        kind, value = await self._integrations.credential(request.tx, name)
        return {"integration": name, "credential_type": kind, "value": value}

    async def events(self, request: Request[EventsBatch, Empty]) -> Response:
        _integrations_of(request.principal)
        events = request.body.events
        for event in events:
            if len(json.dumps(event)) > _MAX_EVENT_BYTES:
                raise Problem(
                    "VALIDATION_ERROR", f"an event is larger than {_MAX_EVENT_BYTES} bytes", status=400
                )
            if self._log is not None:
                await self._log.append(request.tx, _tool_event(request, event))
        reply = noted({"accepted": len(events)}, "agent", request.principal.user_id)
        return attrs.evolve(reply, changed=False)  # each event is a record of its own

    async def register(self, request: Request[RegisterRequest, Empty]) -> Response:
        body = request.body
        kept = await self._integrations.put(
            request.tx, body.integration, credential=(body.credential_type, body.value)
        )
        said = {"integration": kept.name, "credential_type": kept.credential_type}
        return attrs.evolve(noted(said, "integration", kept.name), status=201)

    async def list(self, request: Request[Empty, PageQuery]) -> dict[str, Any]:
        query = request.query
        found = await self._integrations.page(request.tx, None, limit=query.limit, offset=query.offset)
        return {"integrations": found}

    async def put(self, request: Request[IntegrationPut, Empty]) -> Response:
        name, body = _name(request), request.body
        kept = await self._integrations.put(
            request.tx, name, capabilities=body.capabilities, deny_always=body.deny_always
        )
        return noted(attrs.asdict(kept), "integration", name)

    async def delete(self, request: Request[Empty, Empty]) -> Response:
        name = _name(request)
        await self._integrations.delete(request.tx, name)
        return attrs.evolve(noted(None, "integration", name), status=204)


def _integrations_of(principal: Principal) -> set[str]:
    """The integrations that the SDK's token names. ``Problem`` 403 for whoever is no agent's SDK."""
    scopes = principal.scopes or frozenset()
    if principal.kind != KIND or SDK_SCOPE not in scopes:
        raise Problem("AUTH_FORBIDDEN", "this is for the service token of an agent's SDK")
    return {scope.removeprefix(INTEGRATION_SCOPE) for scope in scopes if scope.startswith(INTEGRATION_SCOPE)}


def _tool_event(request: Request[EventsBatch, Empty], event: dict[str, Any]) -> AuditEvent:
    """What the SDK says it did, under the identity that we know it has."""
    denied = event.get("decision") == "deny"
    return AuditEvent(
        type="agent.tool_invocation",
        outcome="failure" if denied else "success",
        actor_type=KIND,
        actor_id=request.principal.actor_id,
        resource_type="agent",
        resource_id=request.principal.user_id,
        metadata={"event": event},
        error_code=str(event.get("reason"))[:100] if denied else None,
        origin=origin_of(request),
    )


def _name(request: Request[Any, Any]) -> str:
    name = request.path["name"]
    if len(name) > 64 or not name.isascii() or not name.replace("-", "a").replace("_", "a").isalnum():
        raise Problem(
            "VALIDATION_ERROR", "an integration's name is lower case letters, digits, '-' and '_'", status=400
        )
    return name
