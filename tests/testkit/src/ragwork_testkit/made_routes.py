"""Routes of nobody's, for tests of what handles routes."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from ragwork_hooks.authz import Action
from ragwork_hooks.http import AnyRoute, Route

READ: Final = Action(name="thing.read")


def route(handler: Callable[[Any], Awaitable[object]], **said: Any) -> AnyRoute:
    """A tenant's GET /v1/things unless ``said`` otherwise."""
    declared: dict[str, Any] = {
        "name": "things.list",
        "method": "GET",
        "path": "/v1/things",
        "summary": "things",
        "scope": "tenant",
        "action": READ,
        "rate_class": "read",
        "idempotency": "none",
        "audit_event": None,
        "feature": None,
        "stale_reads": False,
        "transaction": "none",
        "response": None,
    }
    return Route(handler=handler, **{**declared, **said})


def public(handler: Callable[[Any], Awaitable[object]], **said: Any) -> AnyRoute:
    """The same without credentials."""
    return route(handler, **{"scope": "public", "action": None, "rate_class": "public", **said})
