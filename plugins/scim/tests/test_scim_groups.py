"""Groups: members in every dialect, and the roles that follow from them and from nothing else."""

import asyncio
from typing import Any

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"


async def members(scim: Any, group_id: str) -> set[str]:
    read = await scim("GET", f"/Groups/{group_id}")
    return {member["value"] for member in read.body.get("members", ())}


async def role(scim: Any, user: Any) -> str:
    return str((await scim.directory(user["id"])).role.label)


OPERATIONS = [
    ({"op": "Add", "path": "members", "value": [{"value": "B"}]}, "AB"),
    ({"op": "add", "path": "members", "value": [{"$ref": None, "value": "B"}, {"value": "C", "display": "c"}]}, "ABC"),
    ({"op": "add", "path": "members", "value": {"value": "B"}}, "AB"),
    ({"op": "add", "value": {"members": [{"value": "B"}]}}, "AB"),
    ({"op": "add", "path": f"{GROUP}:members", "value": [{"value": "A"}]}, "A"),
    ({"op": "Remove", "path": "members", "value": [{"value": "A"}]}, ""),
    ({"op": "Remove", "path": 'members[value eq "A"]'}, ""),
    ({"op": "remove", "path": 'members[value eq "A" or value eq "B"]'}, ""),
    ({"op": "remove", "path": 'members[value eq "B"]'}, "A"),
    ({"op": "remove", "path": "members"}, ""),
    ({"op": "replace", "path": "members", "value": [{"value": "B"}, {"value": "C"}]}, "BC"),
    ({"op": "replace", "path": "members", "value": []}, ""),
    ({"op": "replace", "path": "MEMBERS", "value": None}, ""),
    ({"op": "replace", "value": {"displayName": "new", "members": [{"value": "C"}]}}, "C"),
    ({"op": "Replace", "value": {"id": "OWN", "displayName": "new"}}, "A"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "left"), OPERATIONS)
async def test_membership_speaks_the_dialects(scim: Any, operation: Any, left: str) -> None:
    users = {name: (await scim.user(name))["id"] for name in "ABC"}
    group = await scim.group("team", users["A"])

    def real(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: real(item) for key, item in value.items()}
        if isinstance(value, list):
            return [real(item) for item in value]
        if value == "OWN":
            return group["id"]
        if isinstance(value, str) and "value eq" in value:
            for name, user_id in users.items():
                value = value.replace(f'"{name}"', f'"{user_id}"')
        return users.get(value, value) if isinstance(value, str) else value

    answer = await scim.patch(f"/Groups/{group['id']}", real(operation))
    assert answer.status == 200, answer.text
    assert await members(scim, group["id"]) == {users[name] for name in left}
    for name, user_id in users.items():
        assert (group["id"] in (await scim.directory(user_id)).groups) is (name in left)
        shown = (await scim("GET", f"/Users/{user_id}")).body.get("groups", [])
        assert [one["value"] for one in shown] == ([group["id"]] if name in left else [])


@pytest.mark.parametrize(("operation", "status"), [
    ({"op": "add", "path": "members", "value": [{"value": "nobody"}]}, 404),
    ({"op": "add", "path": "members", "value": [{"display": "x"}]}, 400),
    ({"op": "add", "path": "members", "value": [{"value": 5}]}, 400),
    ({"op": "add", "path": "members", "value": [{"value": "A", "type": "Group"}]}, 400),
    ({"op": "add", "path": "members"}, 400),
    ({"op": "add", "path": 'members[value eq "A"]', "value": {"value": "B"}}, 400),
    ({"op": "remove", "path": 'members[display eq "A"]'}, 400),
    ({"op": "remove", "path": 'members[value ne "A"]'}, 400),
    ({"op": "replace", "path": 'members[value eq "A"].display', "value": "x"}, 400),
    ({"op": "replace", "path": "members[", "value": "x"}, 400),
    ({"op": "replace", "path": "displayName", "value": ""}, 400),
    ({"op": "replace", "path": "displayName", "value": "x" * 257}, 400),
    ({"op": "remove", "path": "displayName"}, 400),
    ({"op": "replace", "path": "id", "value": "x"}, 400),
    ({"op": "replace", "path": "meta", "value": {}}, 400),
])  # fmt: skip
async def test_what_a_group_does_not_understand_changes_nothing(
    scim: Any, operation: Any, status: int
) -> None:
    ann, bob = await scim.user("ann"), await scim.user("bob")
    group = await scim.group("team", ann["id"])
    good = {"op": "add", "path": "members", "value": [{"value": bob["id"]}]}
    answer = await scim.patch(f"/Groups/{group['id']}", good, operation)
    assert answer.status == status, answer.text
    assert (await scim("GET", f"/Groups/{group['id']}")).body == group
    assert (await scim.directory(bob["id"])).groups == frozenset()


@pytest.mark.parametrize("members", ["ann", ["ann"], {"value": "ann"}, 5, [[]]], ids=repr)
async def test_members_of_another_form_make_no_group(scim: Any, members: Any) -> None:
    body = {"schemas": [GROUP], "displayName": "team", "members": members}
    answer = await scim("POST", "/Groups", body)
    assert (answer.status, answer.body["scimType"]) == (400, "invalidValue"), answer.text
    assert (await scim("GET", "/Groups")).body["totalResults"] == 0


async def test_a_role_lasts_exactly_as_long_as_what_grants_it(scim: Any) -> None:
    ann = await scim.user("ann")
    admins, editors = await scim.group("admins", ann["id"]), await scim.group("editors", ann["id"])
    assert await role(scim, ann) == "reader"
    assert (await scim.bind(admins["id"], "admin"))["members"] == 1
    await scim.bind(editors["id"], "editor")
    assert await role(scim, ann) == "admin"
    await scim.patch(f"/Groups/{admins['id']}", {"op": "remove", "path": f'members[value eq "{ann["id"]}"]'})
    assert await role(scim, ann) == "editor"
    await scim.patch(
        f"/Groups/{admins['id']}", {"op": "add", "path": "members", "value": [{"value": ann["id"]}]}
    )
    assert await role(scim, ann) == "admin"
    assert (await scim("DELETE", f"/Groups/{admins['id']}")).status == 204
    assert await role(scim, ann) == "editor"
    await scim.bind(editors["id"], None)
    assert await role(scim, ann) == "reader"
    await scim.bind(editors["id"], "editor")
    assert (await scim("PUT", f"/Groups/{editors['id']}", {"displayName": "editors"})).status == 200
    assert await role(scim, ann) == "reader"


async def test_a_deleted_user_leaves_nothing_to_come_back_to(scim: Any) -> None:
    ann = await scim.user("ann")
    group = await scim.group("admins", ann["id"])
    await scim.bind(group["id"], "admin")
    assert (await scim("DELETE", f"/Users/{ann['id']}")).status == 204
    left = await scim.directory(ann["id"])
    assert (left.active, left.role.label, left.groups) == (False, "reader", frozenset())
    after = await scim("GET", f"/Groups/{group['id']}")
    assert ("members" in after.body, after.body["meta"]["version"]) == (False, 'W/"2"')


async def test_leaving_two_granting_groups_at_once_leaves_no_role(scim: Any) -> None:
    users = [await scim.user(f"u{n}") for n in range(3)]
    ids = [user["id"] for user in users]
    groups = [await scim.group(f"g{n}", *ids) for n in range(6)]
    for group in groups:
        await scim.bind(group["id"], "admin")
    clear = {"op": "remove", "path": "members"}
    answers = await asyncio.gather(*(scim.patch(f"/Groups/{g['id']}", clear) for g in groups))
    assert {answer.status for answer in answers} == {200}
    assert [await role(scim, user) for user in users] == ["reader"] * 3


async def test_only_an_admin_binds_a_group(scim: Any) -> None:
    ann = await scim.user("ann")
    greedy = {
        "schemas": [GROUP], "displayName": "g", "id": "chosen", "role_binding": "admin", "roleBinding": "admin",
        "tenant_id": "t2", "members": [{"value": ann["id"]}], "meta": {"version": "x"},
    }  # fmt: skip
    made = await scim("POST", "/Groups", greedy)
    assert (made.status, made.body["id"] != "chosen") == (201, True)
    assert set(made.body) == {"schemas", "id", "displayName", "members", "meta"}
    assert await role(scim, ann) == "reader"
    path = f"/v1/admin/identity/scim/groups/{made.body['id']}"
    editor = await scim.app.key(scim.tenant, "editor")
    for key in (editor, scim.token):
        refused = await scim.app.call("PATCH", path, key, json={"role_binding": "admin"})
        assert (refused.status, refused.code) == (403, "AUTH_FORBIDDEN")
    for body in ({"role_binding": "owner"}, {}, {"role_binding": "admin", "x": 1}):
        assert (await scim.app.call("PATCH", path, scim.admin, json=body)).status == 422
    assert await role(scim, ann) == "reader"
    listed = await scim.app.call("GET", "/v1/admin/identity/scim/groups", scim.admin)
    assert listed.data == {
        "items": [{
            "id": made.body["id"], "display_name": "g", "external_id": None, "role_binding": None, "members": 1,
        }],
        "next_offset": None,
    }  # fmt: skip


async def test_another_tenant_is_nowhere(app: Any, scim: Any, other: Any) -> None:
    mine, foreign = await scim.user("ann", externalId="e"), await other.user("ann", externalId="e")
    group, theirs = await scim.group("team", mine["id"]), await other.group("team", foreign["id"])
    add = {"op": "add", "path": "members", "value": [{"value": foreign["id"]}]}
    missing = {"op": "add", "path": "members", "value": [{"value": "00000000"}]}
    for operation in (add, missing):
        refused = await scim.patch(f"/Groups/{group['id']}", operation)
        assert (refused.status, refused.body["detail"].replace(foreign["id"], "00000000")) == (
            404, "user '00000000' does not exist",
        )  # fmt: skip
    body = {"displayName": "x", "members": [{"value": foreign["id"]}]}
    assert (await scim("POST", "/Groups", body)).status == 404
    for path in (f"/Users/{foreign['id']}", f"/Groups/{theirs['id']}"):
        assert [(await scim(m, path)).status for m in ("GET", "DELETE")] == [404, 404]
        assert (await scim.patch(path, {"op": "replace", "path": "displayName", "value": "x"})).status == 404
        assert (await scim("PUT", path, {"userName": "x", "displayName": "x"})).status == 404
    for path, filter in (
        ("/Users", f'id eq "{foreign["id"]}"'), ("/Users", f'groups.value eq "{theirs["id"]}"'),
        ("/Groups", f'members[value eq "{foreign["id"]}"]'), ("/Groups", f'id eq "{theirs["id"]}"'),
    ):  # fmt: skip
        found = await scim("GET", path, filter=filter)
        assert (found.status, found.body["totalResults"]) == (200, 0), found.text
    walked = [await scim("GET", "/Users", startIndex=str(n), count="1") for n in range(1, 4)]
    assert [w.body["totalResults"] for w in walked] == [1, 1, 1]
    assert [r["id"] for w in walked for r in w.body["Resources"]] == [mine["id"]]
    bind = await app.call(
        "PATCH", f"/v1/admin/identity/scim/groups/{theirs['id']}", scim.admin, json={"role_binding": "admin"}
    )
    assert bind.status == 404


async def test_a_group_is_read_without_its_members_when_they_are_not_wanted(scim: Any) -> None:
    ann = await scim.user("ann", displayName="Ann")
    group = await scim.group("team", ann["id"], externalId="x1")
    path = f"/Groups/{group['id']}"
    assert "members" not in (await scim("GET", path, excludedAttributes="members")).body
    named = (await scim("GET", path, attributes="members.display")).body
    assert named["members"] == [{"display": "Ann"}]
    found = await scim("GET", "/Groups", filter='displayName eq "TEAM"', excludedAttributes="members")
    assert found.body["Resources"] == [{k: v for k, v in group.items() if k != "members"}]
    whole = await scim("GET", path)
    assert whole.body["members"][0] | {"$ref": ""} == {"value": ann["id"], "type": "User", "$ref": ""}


async def test_a_change_that_changes_nothing_is_no_change(scim: Any) -> None:
    ann = await scim.user("ann")
    group = await scim.group("team", ann["id"])
    again = {"op": "add", "path": "members", "value": [{"value": ann["id"]}]}
    answer = await scim.patch(f"/Groups/{group['id']}", again)
    assert (answer.status, answer.body) == (200, group)
    assert (await scim.directory(ann["id"])).epoch == 2  # of its creation and its one joining
