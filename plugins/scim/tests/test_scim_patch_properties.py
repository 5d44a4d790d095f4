"""PATCH under any operations: refused whole or applied whole, and a group's members as sets would have it."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_hooks.errors import Problem
from ragwork_scim.protocol.models import Person
from ragwork_scim.protocol.patches import PATCH_OP, GroupChange, Operation, operations, patched_user
from scim2_models import Context

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
USER = {
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": "u1", "userName": "ann", "active": False,
    "emails": [{"value": "a@x", "type": "work", "primary": True}], "name": {"givenName": "Ann"},
}  # fmt: skip
PATHS = st.sampled_from([
    "active", "Active", "userName", "displayName", "emails", 'emails[type eq "work"]', 'emails[type eq "home"].value',
    "emails.value", "name", "name.givenName", ENTERPRISE, f"{ENTERPRISE}:manager", f"{ENTERPRISE}:department", "id",
    "meta", "groups", "schemas", "roles", "externalId", "", "nope", "emails[", 'emails[value eq "a@x" or primary pr]',
]) | st.text(max_size=8)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["False", "true", "x", "", "work"])
SCALARS = SCALARS | st.text(max_size=4) | st.floats(allow_nan=False)
KEYS = st.sampled_from(
    ["value", "type", "primary", "givenName", "active", "manager", "id", "$ref"]
) | st.text(max_size=4)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(KEYS | PATHS, v, max_size=3), max_leaves=6
)
VERBS = st.sampled_from(["add", "replace", "remove", "Add", "REPLACE", "Remove", "move", ""])
OPERATIONS = st.fixed_dictionaries({"op": VERBS}, optional={"path": PATHS, "value": VALUES})


@given(listed=st.lists(OPERATIONS, min_size=1, max_size=4))
def test_any_patch_gives_a_user_or_is_refused(listed: list[Any]) -> None:
    person = Person.model_validate(USER, scim_ctx=Context.DEFAULT)
    try:
        after = patched_user(person, {"schemas": [PATCH_OP], "Operations": listed})
    except Problem as refused:
        _is_refusal(refused)
        return
    body = after.model_dump(scim_ctx=Context.DEFAULT)
    assert Person.model_validate(body, scim_ctx=Context.DEFAULT).model_dump(scim_ctx=Context.DEFAULT) == body
    assert (body["id"], body["active"] in (True, False), bool(body["userName"].strip())) == ("u1", True, True)
    if body["active"]:
        assert any("active" in str(one).lower() for one in listed), "nobody is let in by accident"


def _is_refusal(refused: Problem) -> None:
    assert refused.status == 422
    assert refused.details["scimType"]


IDS = st.sets(st.sampled_from("abcdef"), max_size=4)
STEPS = st.lists(st.tuples(st.sampled_from(["add", "remove", "replace", "drop", "clear"]), IDS), max_size=8)


@given(start=IDS, steps=STEPS)
def test_a_group_change_does_to_members_what_the_operations_do_one_by_one(
    start: set[str], steps: list[tuple[str, set[str]]]
) -> None:
    expected, change = set(start), GroupChange("g", None)
    for verb, ids in steps:
        listed = [{"value": one} for one in sorted(ids)]
        if verb == "add":
            expected |= ids
            change.apply(_operation("add", "members", listed))
        elif verb == "replace":
            expected = set(ids)
            change.apply(_operation("replace", "members", listed))
        elif verb == "clear":
            expected = set()
            change.apply(_operation("remove", "members", None))
        elif verb == "remove":
            expected -= ids
            change.apply(_operation("remove", "members", listed))
        elif ids:
            expected -= ids
            chosen = " or ".join(f'value eq "{one}"' for one in sorted(ids))
            change.apply(_operation("remove", f"members[{chosen}]", None))
    left = (set() if change.cleared else start - change.removed) | change.added
    assert left == expected
    assert not change.added & change.removed


def _operation(verb: Any, path: str, value: object) -> Operation:
    return Operation(verb=verb, path=path, value=value, given=value is not None)


def test_a_patch_without_a_path_is_one_operation_for_each_attribute() -> None:
    body = {
        "schemas": [PATCH_OP],
        "Operations": [{"op": "Add", "value": {"id": "g1", "displayName": "x", "title": None}}],
    }
    assert [attrs.astuple(one)[:3] for one in operations(body, "g1")] == [("add", "displayName", "x")]
    with pytest.raises(Problem):
        operations({**body, "Operations": body["Operations"] * 1_001}, "g1")
