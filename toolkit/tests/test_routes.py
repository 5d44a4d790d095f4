"""Factories of routes: the name fixes what guards a route, and no decision is taken by leaving it out."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.http import AnyRoute, Empty, Request
from ragwork_toolkit import routes

Factory = Callable[..., AnyRoute]


@attrs.frozen(kw_only=True)
class Body:
    text: str


async def handle(request: Request[Any, Any]) -> None:
    """Not called here."""


SAID: dict[str, Any] = {
    "name": "things.do",
    "path": "/v1/things",
    "summary": "Do a thing",
    "handler": handle,
    "response": None,
}
READ = {**SAID, "action": Action(name="thing.read", role=Role.READER)}
OPS = {**READ, "transaction": "none"}
PUBLIC = {**SAID, "method": "POST"}
WRITE = {**READ, "method": "POST", "audit_event": "thing.done", "idempotency": "accepted"}
UNTRANSACTED = {**READ, "method": "POST", "rate_class": "read", "audit_event": None}
FORMS: list[tuple[Factory, dict[str, Any], tuple[str, str, str, str, str]]] = [
    (routes.read_route, READ, ("GET", "tenant", "read", "read", "none")),
    (routes.identity_read_route, READ, ("GET", "tenant", "identity", "read", "none")),
    (routes.ops_route, OPS, ("GET", "tenant", "ops", "none", "none")),
    (routes.platform_read_route, READ, ("GET", "platform", "read", "read", "none")),
    (routes.write_route, WRITE, ("POST", "tenant", "mutation", "write", "accepted")),
    (routes.identity_write_route, WRITE, ("POST", "tenant", "identity", "write", "accepted")),
    (routes.platform_write_route, WRITE, ("POST", "platform", "mutation", "write", "accepted")),
    (routes.untransacted_route, UNTRANSACTED, ("POST", "tenant", "read", "none", "none")),
    (routes.public_route, PUBLIC, ("POST", "public", "public", "none", "none")),
]
IDS = [factory.__name__ for factory, _, _ in FORMS]


@pytest.mark.parametrize(("factory", "said", "form"), FORMS, ids=IDS)
def test_the_name_fixes_method_scope_rate_class_and_transaction(
    factory: Factory, said: dict[str, Any], form: tuple[str, ...]
) -> None:
    route = factory(**said)
    assert (route.method, route.scope, route.rate_class, route.transaction, route.idempotency) == form
    assert route.action == said.get("action")
    assert route.audit_event == said.get("audit_event")
    assert (route.feature, route.stale_reads, route.query, route.errors) == (None, False, Empty, ())


@pytest.mark.parametrize(("factory", "said", "form"), FORMS, ids=IDS)
def test_what_decides_has_no_default(factory: Factory, said: dict[str, Any], form: tuple[str, ...]) -> None:
    for missing in said:
        with pytest.raises(TypeError, match=missing):
            factory(**{key: value for key, value in said.items() if key != missing})


@pytest.mark.parametrize(("factory", "said", "form"), FORMS, ids=IDS)
def test_what_the_name_fixes_can_not_be_said_otherwise(
    factory: Factory, said: dict[str, Any], form: tuple[str, ...]
) -> None:
    for fixed, value in (("scope", "public"), ("rate_class", "probe"), ("transaction", "write")):
        if fixed not in said:
            with pytest.raises(TypeError, match=fixed):
                factory(**said, **{fixed: value})


def test_a_body_is_json_unless_said_otherwise() -> None:
    assert routes.write_route(**WRITE).body_kind == "none"
    assert routes.write_route(**WRITE, body=Body).body_kind == "json"
    assert routes.public_route(**PUBLIC, body=Body, body_kind="form").body_kind == "form"


def test_a_read_may_be_recorded_and_lag() -> None:
    route = routes.read_route(**READ, audit_event="thing.seen", stale_reads=True, feature="things")
    assert (route.audit_event, route.stale_reads, route.feature) == ("thing.seen", True, "things")
