"""Users: made, read, changed and removed, in the forms that identity providers send."""

import asyncio
import json
from typing import Any

import pytest
from ragwork_hooks.auth import Directory

pytestmark = pytest.mark.asyncio(loop_scope="module")
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
MEDIA = "application/scim+json"
WORK = {"value": "ann@corp.local", "type": "work", "primary": True}


async def test_a_user_goes_through_its_life(scim: Any) -> None:
    made = await scim("POST", "/Users", {"schemas": [USER], "userName": "Ann@corp.local", "emails": [WORK]})
    user = made.body
    assert (made.status, made.headers["Location"]) == (201, user["meta"]["location"])
    assert made.headers["Content-Type"] == "application/scim+json"
    assert (user["active"], user["emails"]) == (True, [WORK])
    read = await scim("GET", f"/Users/{user['id']}")
    assert (read.body, read.headers["ETag"]) == (user, 'W/"1"')
    body = {"schemas": [USER], "userName": "Ann@corp.local", "displayName": "Ann"}
    replaced = await scim("PUT", f"/Users/{user['id']}", body)
    assert (replaced.status, replaced.body["displayName"], "emails" in replaced.body) == (200, "Ann", False)
    assert (await scim("DELETE", f"/Users/{user['id']}")).status == 204
    gone = await scim("GET", f"/Users/{user['id']}")
    assert (gone.status, gone.body["status"]) == (404, "404")
    assert not (await scim.directory(user["id"])).active
    again = await scim.user("ann@corp.local")
    assert again["id"] != user["id"]


@pytest.mark.parametrize("form", [
    {"op": "replace", "path": "active", "value": False},
    {"op": "Replace", "path": "active", "value": "False"},
    {"op": "replace", "path": "ACTIVE", "value": "false"},
    {"op": "Replace", "path": "active", "value": [{"value": "False"}]},
    {"op": "Replace", "path": "active", "value": [{"$ref": None, "value": "False"}]},
    {"op": "replace", "path": "active", "value": 0},
    {"op": "Add", "path": f"{USER}:active", "value": "False"},
    {"op": "replace", "value": {"active": False}},
    {"op": "Replace", "value": {"active": "False"}},
    {"op": "replace", "path": "", "value": {"Active": [{"value": "False"}]}},
])  # fmt: skip
async def test_every_form_of_deprovisioning_shuts_out(scim: Any, form: dict[str, Any]) -> None:
    user = await scim.user("bob")
    answer = await scim.patch(f"/Users/{user['id']}", form)
    assert (answer.status, answer.body["active"]) == (200, False)
    assert not (await scim.directory(user["id"])).active


@pytest.mark.parametrize(
    "value", ["maybe", "", None, 2, [], {}, [True, False], {"x": 1}, "tru e", -1, "null"]
)
async def test_what_is_no_answer_to_active_is_refused_and_changes_nothing(scim: Any, value: Any) -> None:
    user = await scim.user("bob", active=False)
    path = f"/Users/{user['id']}"
    patched = await scim.patch(path, {"op": "replace", "path": "active", "value": value})
    put = await scim("PUT", path, {"schemas": [USER], "userName": "bob", "active": value})
    made = await scim("POST", "/Users", {"schemas": [USER], "userName": "eve", "active": value})
    assert [patched.status, put.status, made.status] == [400, 400, 400], (patched.text, put.text, made.text)
    assert (await scim("GET", path)).body == user
    assert not (await scim.directory(user["id"])).active


async def test_neither_omission_nor_repetition_lets_anybody_in(scim: Any) -> None:
    user = await scim.user("bob", active=False)
    path = f"/Users/{user['id']}"
    put = await scim("PUT", path, {"schemas": [USER], "userName": "bob", "title": "x"})
    assert (put.status, put.body["active"]) == (200, False)
    assert (await scim.patch(path, {"op": "remove", "path": "active"})).body["scimType"] == "mutability"
    # An admin shuts out somebody whom the identity provider still has as active, and it syncs again.
    other = await scim.user("eve")
    services = scim.app.platform.facades["scim"]
    async with services.db.tenant(scim.tenant) as tx:
        await services.use(Directory).set_active(tx, other["id"], False, by="test")
    again = {"op": "replace", "value": {"active": True, "title": "y"}}
    assert (await scim.patch(f"/Users/{other['id']}", again)).status == 200
    assert not (await scim.directory(other["id"])).active
    await scim.patch(f"/Users/{other['id']}", {"op": "replace", "path": "active", "value": False})
    await scim.patch(f"/Users/{other['id']}", {"op": "replace", "path": "active", "value": True})
    assert (await scim.directory(other["id"])).active


async def test_whoever_is_shut_out_has_no_key_within_a_second(scim: Any) -> None:
    user = await scim.user("bob")
    key = await scim.app.key(scim.tenant, "reader", user=user["id"])
    assert (await scim.app.call("GET", "/v1/admin/plans", key)).code == "AUTH_FORBIDDEN"
    await scim.patch(f"/Users/{user['id']}", {"op": "Replace", "path": "active", "value": "False"})
    refused = await scim.app.call("GET", "/v1/admin/plans", key)
    assert (refused.status, refused.code) == (401, "AUTH_UNAUTHORIZED")


WORK_MAIL = 'emails[type eq "work"].value'
DIALECTS = [
    # Microsoft Entra: selections that do not exist yet, dotted names, extensions by URN, bare managers.
    ({"op": "Add", "path": 'emails[type eq "home"].value', "value": "h@x"},
     {"emails": [WORK, {"value": "h@x", "type": "home"}]}),
    ({"op": "Replace", "path": WORK_MAIL, "value": "new@x"}, {"emails": [{**WORK, "value": "new@x"}]}),
    ({"op": "Add", "value": {'phoneNumbers[type eq "mobile"].value': "1"}},
     {"phoneNumbers": [{"value": "1", "type": "mobile"}]}),
    ({"op": "Add", "value": {"name.givenName": "Ann", "name.familyName": "Li"}},
     {"name": {"givenName": "Ann", "familyName": "Li"}}),
    ({"op": "Add", "path": f"{ENTERPRISE}:department", "value": "R&D"}, {ENTERPRISE: {"department": "R&D"}}),
    ({"op": "Replace", "path": f"{ENTERPRISE}:manager", "value": "m1"}, {ENTERPRISE: {"manager": {"value": "m1"}}}),
    ({"op": "Add", "path": f"{ENTERPRISE}:manager", "value": [{"value": "m1"}]},
     {ENTERPRISE: {"manager": {"value": "m1"}}}),
    ({"op": "Add", "value": {f"{ENTERPRISE}:employeeNumber": "7"}}, {ENTERPRISE: {"employeeNumber": "7"}}),
    ({"op": "Remove", "path": "emails", "value": [{"value": "ann@corp.local"}]}, {"emails": None}),
    ({"op": "Replace", "path": "displayName", "value": [{"value": "A"}]}, {"displayName": "A"}),
    ({"op": "Replace", "path": 'emails[type eq "work" and primary eq "True"].value', "value": "n"},
     {"emails": [{**WORK, "value": "n"}]}),
    # Okta: whole objects without a path, the id repeated.
    ({"op": "replace", "value": {"id": "OWN", "displayName": "A", "schemas": [USER]}}, {"displayName": "A"}),
    ({"op": "replace", "value": {"name": {"givenName": "A"}, "nickName": None}}, {"name": {"givenName": "A"}}),
    ({"op": "replace", "value": {ENTERPRISE: {"manager": "m1", "division": "d"}}},
     {ENTERPRISE: {"manager": {"value": "m1"}, "division": "d"}}),
    # The RFC.
    ({"op": "add", "path": "emails", "value": [{"value": "h@x", "primary": True}]},
     {"emails": [{**WORK, "primary": False}, {"value": "h@x", "primary": True}]}),
    ({"op": "add", "path": "emails", "value": {"value": "h@x"}}, {"emails": [WORK, {"value": "h@x"}]}),
    ({"op": "remove", "path": 'emails[type eq "work"]'}, {"emails": None}),
    ({"op": "remove", "path": 'emails[type eq "none"]'}, {"emails": [WORK]}),
    ({"op": "replace", "path": "emails", "value": []}, {"emails": None}),
    ({"op": "replace", "path": "name.familyName", "value": "L"}, {"name": {"familyName": "L"}}),
    ({"OP": "REPLACE", "PATH": "userNAME", "VALUE": "ann2"}, {"userName": "ann2"}),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "becomes"), DIALECTS)
async def test_patch_speaks_the_dialects(scim: Any, operation: Any, becomes: dict[str, Any]) -> None:
    user = await scim.user("ann", emails=[WORK])
    if operation.get("value", {}) and isinstance(operation["value"], dict) and "id" in operation["value"]:
        operation = {**operation, "value": {**operation["value"], "id": user["id"]}}
    answer = await scim.patch(f"/Users/{user['id']}", operation)
    assert answer.status == 200, answer.text
    assert {key: answer.body.get(key) for key in becomes} == becomes
    assert (await scim("GET", f"/Users/{user['id']}")).body == answer.body


@pytest.mark.parametrize(("operation", "scim_type"), [
    ({"op": "add", "path": "emails[", "value": 1}, "invalidPath"),
    ({"op": "add", "path": "x" * 2000, "value": 1}, "invalidPath"),
    ({"op": "add", "path": 5, "value": 1}, "invalidPath"),
    ({"op": "replace", "path": "id", "value": "x"}, "mutability"),
    ({"op": "replace", "value": {"id": "x"}}, "mutability"),
    ({"op": "replace", "path": "meta.created", "value": "x"}, "mutability"),
    ({"op": "remove", "path": "userName"}, "mutability"),
    ({"op": "replace", "path": "userName", "value": ""}, None),
    ({"op": "replace", "path": "userName", "value": 5}, "invalidValue"),
    ({"op": "replace", "path": "title", "value": "a\x00b"}, "invalidSyntax"),
    ({"op": "replace", "path": 'emails[value co "zzz"].value', "value": "x"}, "noTarget"),
    ({"op": "remove"}, "noTarget"),
    ({"op": "move", "path": "title"}, "invalidSyntax"),
    ({"op": ["add"], "path": "title"}, "invalidSyntax"),
    ({"path": "title", "value": "x"}, "invalidSyntax"),
    ({"op": "add", "value": "x"}, "invalidValue"),
    ("add", "invalidSyntax"),
])  # fmt: skip
async def test_what_patch_does_not_understand_is_400_and_changes_nothing(
    scim: Any, operation: Any, scim_type: str | None
) -> None:
    user = await scim.user("ann", emails=[WORK])
    good = {"op": "replace", "path": "title", "value": "changed"}
    answer = await scim.patch(f"/Users/{user['id']}", good, operation)
    assert (answer.status, answer.body["status"]) == (400, "400"), answer.text
    assert scim_type is None or answer.body["scimType"] == scim_type, answer.text
    assert (await scim("GET", f"/Users/{user['id']}")).body == user


CUSTOM = "urn:ietf:params:scim:schemas:extension:Custom:2.0:User"
#: What identity providers send beside what is kept here, as their public documents and issues show it.
NOT_KEPT: list[Any] = [
    {"op": "Add", "path": 'roles[primary eq "True"].value', "value": "User"},
    {"op": "Add", "path": "roles", "value": [{"primary": "True", "value": '{"id":"1"}', "type": "AppRole"}]},
    {"op": "add", "path": "entitlements", "value": [{"value": "x"}]},
    {"op": "Replace", "path": "entitlements[type eq \"license\"].value", "value": "gold"},
    {"op": "Add", "path": f"{CUSTOM}:tag", "value": "a"},
    {"op": "Replace", "path": f"{CUSTOM}:nested.tag", "value": "a"},
    {"op": "Add", "path": f"{ENTERPRISE}:shoeSize", "value": "43"},
    {"op": "Add", "path": f"{USER}:nope", "value": 1},
    {"op": "replace", "path": "name.nope", "value": "x"},
    {"op": "replace", "path": 'emails[type eq "work"].verified', "value": True},
    {"op": "replace", "path": "password", "value": "secret"},
    {"op": "remove", "path": 'ims[type eq "icq"]'},
    {"op": "remove", "path": "x509Certificates"},
    {"op": "replace", "path": "urn:custom", "value": "x"},
    {"op": "replace", "path": "extension attribute 1", "value": "x"},
    {"op": "replace", "path": "1st", "value": "x"},
    {"op": "add", "path": "groups", "value": [{"value": "g"}]},
    {"op": "replace", "value": {CUSTOM: {"tag": "a"}, "nope": 1, "role_binding": "admin", "tenant_id": "t2"}},
    {"op": "Replace", "value": {f"{CUSTOM}:tag": "a", "roles[primary eq \"True\"].value": "x", "1st": 1}},
    {"op": "replace", "value": {"name": {"familyName": "L", "nope": 1}, "meta": {"version": "9"}, "groups": []}},
    {"name": "roles", "op": "Add", "path": "roles", "value": "x", "from": "y"},
]  # fmt: skip


@pytest.mark.parametrize("beside", NOT_KEPT, ids=lambda o: str(o.get("path", "no path"))[:60])
async def test_what_is_not_kept_is_passed_over_and_a_deactivation_beside_it_is_not_lost(
    scim: Any, beside: Any
) -> None:
    work = [{"type": "work", "value": "w@x", "primary": True}]
    user = await scim.user("ann", emails=work)
    off = {"op": "Replace", "path": "active", "value": "False"}
    for operations in ([beside, off], [off, beside]):
        answer = await scim.patch(f"/Users/{user['id']}", *operations)
        assert (answer.status, answer.body["active"]) == (200, False), answer.text
        assert not (await scim.directory(user["id"])).active
        assert (answer.body["userName"], answer.body["emails"]) == ("ann", work)
        assert set(answer.body) <= {*user, "name"}
        on = {"op": "replace", "value": {"active": True}}
        assert (await scim.patch(f"/Users/{user['id']}", on)).body["active"] is True
    alone = await scim.patch(f"/Users/{user['id']}", beside)
    assert (alone.status, alone.body["active"]) == (200, True)


async def test_a_group_passes_over_what_it_does_not_keep(scim: Any) -> None:
    ann = await scim.user("ann")
    group = await scim.group("g")
    answer = await scim.patch(
        f"/Groups/{group['id']}",
        {"op": "Add", "path": f"{CUSTOM}:tag", "value": "a"},
        {"op": "replace", "value": {"description": "x", "displayName": "new", "urn:x:y:2.0:Group": {"a": 1}}},
        {"name": "addMember", "op": "add", "path": "members", "value": [{"value": ann["id"], "nope": 1}]},
    )
    assert (answer.status, answer.body["displayName"]) == (200, "new")
    assert [member["value"] for member in answer.body["members"]] == [ann["id"]]


ACCEPTS = ["application/json", "*/*", "text/html", MEDIA, None]


@pytest.mark.parametrize("accept", ACCEPTS)
async def test_answers_are_bare_whatever_a_client_accepts(scim: Any, accept: str | None) -> None:
    headers = {"Accept": accept} if accept else {}
    user = await scim.user("ann")
    session, base = scim.app.session, scim.app.base + "/v1/scim/v2"
    auth = {"Authorization": f"Bearer {scim.token}"}
    for path, key in (
        ("/Users", "Resources"),
        (f"/Users/{user['id']}", "userName"),
        ("/Schemas", "Resources"),
    ):
        async with session.get(base + path, headers=auth | headers, skip_auto_headers=["Accept"]) as answer:
            assert (answer.status, answer.content_type) == (200, MEDIA)
            assert key in await answer.json(content_type=None)
    for path, sent, status in (("/Users/none", auth, 404), ("/Nothing", auth, 404), ("/Users?filter=(", auth, 400),
                               ("/Users", {}, 401)):  # fmt: skip
        async with session.get(base + path, headers=sent | headers, skip_auto_headers=["Accept"]) as answer:
            assert answer.content_type == MEDIA
            body = await answer.json(content_type=None)
            assert (answer.status, body["status"], body["schemas"]) == (
                status, str(status), ["urn:ietf:params:scim:api:messages:2.0:Error"],
            )  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    ["application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8", MEDIA, None],
)
async def test_a_body_is_scim_whatever_a_client_calls_it(scim: Any, kind: str | None) -> None:
    body = json.dumps({"schemas": [USER], "userName": "ann"}).encode()
    headers = {"Authorization": f"Bearer {scim.token}", **({"Content-Type": kind} if kind else {})}
    url = scim.app.base + "/v1/scim/v2/Users"
    async with scim.app.session.post(
        url, data=body, headers=headers, skip_auto_headers=["Content-Type"]
    ) as made:
        assert (made.status, made.content_type) == (201, MEDIA)
    wrong = headers | {"Content-Type": "multipart/form-data; boundary=x"}
    async with scim.app.session.post(url, data=body, headers=wrong) as refused:
        assert refused.status in (400, 415)


async def test_a_patch_names_its_schema_and_has_operations(scim: Any) -> None:
    user = await scim.user("ann")
    good = {"op": "replace", "path": "title", "value": "x"}
    for body, status in (
        ({"Operations": [good]}, 422), ({"schemas": [USER], "Operations": [good]}, 422), ({"schemas": PATCH}, 422),
        ({"schemas": [PATCH]}, 400), ({"schemas": [PATCH], "Operations": []}, 400),
        ({"schemas": [PATCH], "Operations": good}, 400),
    ):  # fmt: skip
        answer = await scim("PATCH", f"/Users/{user['id']}", body)
        assert (answer.status, answer.body["status"]) == (status, str(status)), body
        assert answer.body["scimType"] == "invalidSyntax"


async def test_nobody_assigns_what_is_not_theirs(scim: Any) -> None:
    greedy = {
        "schemas": [USER], "userName": "eve", "id": "chosen", "tenant_id": "t2", "role": "admin",
        "roles": [{"value": "admin", "primary": True}], "entitlements": [{"value": "all"}],
        "role_binding": "admin", "platform": True, "password": "secret", "version": 99,
        "meta": {"created": "2001-01-01T00:00:00Z", "version": 'W/"9"', "location": "https://evil"},
        "groups": [{"value": "admins"}],
    }  # fmt: skip
    made = await scim("POST", "/Users", greedy)
    assert made.status == 201, made.text
    assert set(made.body) == {"schemas", "id", "userName", "active", "meta"}
    assert made.body["id"] != "chosen"
    assert (made.body["meta"]["version"], "evil" in made.text, "secret" in made.text) == (
        'W/"1"',
        False,
        False,
    )
    put = await scim("PUT", f"/Users/{made.body['id']}", greedy)
    assert (put.status, put.body["id"]) == (200, made.body["id"])
    user = await scim.directory(made.body["id"])
    assert (user.role.label, user.groups, user.tenant_id) == ("reader", frozenset(), scim.tenant)


async def test_a_user_made_otherwise_is_out_of_reach(scim: Any) -> None:
    await scim.app.key(scim.tenant, "admin", user="boss")
    for method in ("GET", "DELETE"):
        assert (await scim(method, "/Users/boss")).status == 404
    assert (
        await scim.patch("/Users/boss", {"op": "replace", "path": "active", "value": False})
    ).status == 404
    assert (await scim("GET", "/Users", filter='userName eq "boss"')).body["totalResults"] == 0
    namesake = await scim.user("boss", externalId="boss")
    await scim("DELETE", f"/Users/{namesake['id']}")
    boss = await scim.directory("boss")
    assert (boss.active, boss.role.label) == (True, "admin")


async def test_names_are_unique_whatever_their_case_and_race(scim: Any) -> None:
    bodies = [{"schemas": [USER], "userName": n} for n in ["Zoë@x", "ZOË@X", "zoe\u0308@x", "zoë@X"] * 5]
    answers = await asyncio.gather(*(scim("POST", "/Users", body) for body in bodies))
    assert sorted(a.status for a in answers) == [201] + [409] * 19
    clash = next(a for a in answers if a.status == 409)
    assert (clash.body["scimType"], clash.body["status"]) == ("uniqueness", "409")
    first = next(a.body for a in answers if a.status == 201)
    other = await scim.user("other", externalId="e1")
    rename = {"op": "replace", "path": "userName", "value": "ZOË@x"}
    assert (await scim.patch(f"/Users/{other['id']}", rename)).status == 409
    assert (await scim("POST", "/Users", {"userName": "third", "externalId": "e1"})).status == 409
    same = {"op": "replace", "path": "userName", "value": "ZOË@x"}
    assert (await scim.patch(f"/Users/{first['id']}", same)).status == 200


async def test_versions_guard_against_lost_changes(scim: Any) -> None:
    user = await scim.user("ann")
    path, tag = f"/Users/{user['id']}", user["meta"]["version"]
    known = await scim("GET", path, headers={"If-None-Match": tag})
    assert (known.status, known.text, known.headers["ETag"]) == (304, "", tag)
    operations = [{"op": "replace", "path": "title", "value": f"t{n}"} for n in range(8)]
    raced = await asyncio.gather(*(scim.patch(path, o, headers={"If-Match": tag}) for o in operations))
    assert sorted(a.status for a in raced) == [200] + [412] * 7
    stale = {"If-Match": tag}
    assert (await scim("PUT", path, {"userName": "ann"}, stale)).status == 412
    assert (await scim("DELETE", path, headers=stale)).status == 412
    assert (await scim("GET", path, headers={"If-None-Match": tag})).status == 200
    assert (await scim("DELETE", path, headers={"If-Match": "*"})).status == 204


async def test_an_answer_has_the_attributes_that_are_wanted(scim: Any) -> None:
    user = await scim.user("ann", displayName="A", emails=[WORK], name={"givenName": "A", "familyName": "L"})
    path = f"/Users/{user['id']}"
    some = (await scim("GET", path, attributes="userName,emails.type")).body
    assert some == {"schemas": [USER], "id": user["id"], "userName": "ann", "emails": [{"type": "work"}]}
    rest = (await scim("GET", path, excludedAttributes=f"emails,{USER}:name.givenName")).body
    assert ("emails" in rest, rest["name"], rest["displayName"]) == (False, {"familyName": "L"}, "A")
    listed = (await scim("GET", "/Users", attributes="displayname")).body["Resources"]
    assert [set(one) for one in listed] == [{"schemas", "id", "displayName"}]
    assert (await scim("GET", path, attributes="a", excludedAttributes="b")).status == 400
    searched = await scim("POST", "/Users/.search", {"attributes": ["title", "id"], "filter": "userName pr"})
    assert searched.body["Resources"] == [{"schemas": [USER], "id": user["id"]}]


@pytest.mark.parametrize("body", [
    {}, {"userName": None}, {"userName": ""}, {"userName": " "}, {"userName": 5}, {"userName": ["a"]},
    {"userName": "a" * 321}, {"userName": "a\x00"}, {"userName": "a", "emails": "x"}, {"userName": "a", "name": 3},
    {"userName": "a", "emails": [{"value": "x", "primary": True}, {"value": "y", "primary": True}]},
    {"userName": "a", "externalId": "x" * 257}, {"userName": "a", "title": {"a": {"b": [[[[[[1]]]]]]}}},
    {"userName": "a", "schemas": ["urn:x:y"]}, {"userName": "a", "schemas": "x"},
    {"userName": "a", "title": "x" * 70_000}, {"userName": "a", "username": "b"},
])  # fmt: skip
async def test_a_bad_user_is_refused(scim: Any, body: Any) -> None:
    answer = await scim("POST", "/Users", body)
    assert answer.status == 400, answer.text
    assert (await scim("GET", "/Users")).body["totalResults"] == 0
