"""Records say who did it and where they came from, and no more of a client's name than the log has room for."""

from types import SimpleNamespace
from typing import Any, cast

import attrs
from ragwork_hooks.audit import AuditDetails, Origin
from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.http import Request
from ragwork_toolkit.audit_records import origin_of, success_of


def asked(**headers: str) -> Request[Any, Any]:
    facts = SimpleNamespace(request_id="r1", echo_id="mine", peer="192.0.2.1", headers=headers)
    return cast("Request[Any, Any]", facts)


def test_the_origin_is_the_request_with_the_beginning_of_its_clients_name() -> None:
    assert origin_of(asked()) == Origin(request_id="r1", echo_id="mine", peer="192.0.2.1", user_agent="")
    assert origin_of(asked(**{"User-Agent": "a" * 300})).user_agent == "a" * 256


def test_a_success_names_the_actor_by_their_credential_and_what_it_was_done_to() -> None:
    ann = Principal(tenant_id="t1", user_id="ann", credential_id="k1", kind="api_key", role=Role.EDITOR)
    details = AuditDetails(resource_type="thing", resource_id="x", metadata={"n": 1})
    event, origin = success_of(ann, "thing.done", details), origin_of(asked())
    assert (event.type, event.outcome, event.origin, event.error_code) == (
        "thing.done",
        "success",
        None,
        None,
    )
    assert (event.actor_type, event.actor_id, event.actor_role) == ("api_key", "k1", "editor")
    assert (event.resource_type, event.resource_id, event.metadata) == ("thing", "x", {"n": 1})
    assert success_of(ann, "thing.done", details, origin) == attrs.evolve(event, origin=origin)
