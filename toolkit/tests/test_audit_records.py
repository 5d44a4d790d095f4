"""Records say who did it and where they came from, and no more of a client's name than the log has room for."""

from types import SimpleNamespace
from typing import Any, cast

from ragwork_hooks.audit import AuditDetails, AuditEvent, Origin
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
    assert success_of(ann, "thing.done", details) == AuditEvent(
        type="thing.done",
        outcome="success",
        actor_type="api_key",
        actor_id="k1",
        actor_role="editor",
        resource_type="thing",
        resource_id="x",
        metadata={"n": 1},
    )
    origin = origin_of(asked())
    assert success_of(ann, "thing.done", details, origin).origin == origin
