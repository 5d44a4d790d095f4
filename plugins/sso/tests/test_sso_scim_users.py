"""Users whom SCIM provisions log in as themselves, where an admin has said so, and nobody else does as them."""

from typing import Any

import pytest

USERS = "/v1/admin/identity/users"
SCIM = "/v1/scim/v2/Users"
ANN = {"externalId": "00u1", "emails": [{"value": "Ann@Corp.example", "primary": True}]}
PERSON = {"sub": "other", "email": "ann@corp.example", "email_verified": True}


@pytest.mark.parametrize(("marked", "person", "same"), [
    (True, {"sub": "00u1"}, True),
    (True, {"sub": "pairwise", "oid": "00u1"}, True),
    (True, PERSON, True),
    (True, PERSON | {"email_verified": False}, False),
    (True, PERSON | {"email_verified": "true"}, False),
    (True, {"sub": "other", "email": "ann@corp.example"}, False),
    (True, {"sub": "other", "preferred_username": "ann", "name": "ann"}, False),
    (False, {"sub": "00u1"}, False),
    (False, PERSON, False),
])  # fmt: skip
async def test_who_scim_made_is_the_same_user_only_by_what_proves_it(
    scim_stage: Any, marked: bool, person: dict[str, Any], same: bool
) -> None:
    ann = await scim_stage.made("ann", **ANN)
    scim_stage.idp.person = person
    provider_id = await scim_stage.provider(links_scim_users=marked)
    login = await scim_stage.login(provider_id)
    assert login.status == 200, login.text
    assert (login.data["user_id"] == ann) is same
    assert (await scim_stage.login(provider_id)).data["user_id"] == login.data["user_id"]
    assert len(await scim_stage.audited("identity.user.linked")) == same


async def test_who_fits_two_is_neither(scim_stage: Any) -> None:
    two = {await scim_stage.made("ann", **ANN), await scim_stage.made("bob", **{**ANN, "externalId": "00u2"})}
    scim_stage.idp.person = PERSON
    provider_id = await scim_stage.provider(links_scim_users=True)
    assert (await scim_stage.login(provider_id)).data["user_id"] not in two
    # An external id of one and the address of another: that is two as well.
    cat = await scim_stage.made("cat", externalId="00u3")
    dan = await scim_stage.made("dan", emails=[{"value": "dan@corp.example"}])
    scim_stage.idp.person = {"sub": "00u3", "email": "dan@corp.example", "email_verified": True}
    assert (await scim_stage.login(provider_id)).data["user_id"] not in {cat, dan}


async def test_scim_decides_about_its_users_whatever_the_provider_maps(scim_stage: Any) -> None:
    ann = await scim_stage.made("ann", **ANN)
    scim_stage.idp.person = {"sub": "00u1", "groups": ["x"]}
    mapping = {"groups": {"x": "admin"}}
    # Without JIT, too: the user is there already.
    provider_id = await scim_stage.provider(
        links_scim_users=True, role_mapping_json=mapping, jit_enabled=False
    )
    login = await scim_stage.login(provider_id)
    assert (login.data["user_id"], login.data["role"]) == (ann, "reader")
    body = {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "value": {"active": False}}],
    }
    await scim_stage.app.call("PATCH", f"{SCIM}/{ann}", scim_stage.scim, json=body)
    refused = await scim_stage.login(provider_id)
    assert (refused.status, refused.code) == (403, "AUTH_FORBIDDEN")


async def test_one_provider_of_a_tenant_links_scims_users(scim_stage: Any) -> None:
    await scim_stage.provider(links_scim_users=True)
    second = await scim_stage.provider(issuer="https://other.example.com")
    path = f"/v1/admin/identity/providers/{second}"
    answer = await scim_stage.app.call("PATCH", path, scim_stage.admin, json={"links_scim_users": True})
    assert (answer.status, answer.code) == (409, "CONFLICT")


async def test_the_list_of_users_has_those_of_scim_and_pages(scim_stage: Any) -> None:
    ann = await scim_stage.made("ann", displayName="Ann", **ANN)
    bob = await scim_stage.made("bob", active=False)
    scim_stage.idp.person = {"sub": "00u1"}
    await scim_stage.login(await scim_stage.provider(links_scim_users=True))
    scim_stage.idp.person = {"sub": "carla", "email": "c@example.com"}
    carla = (await scim_stage.login(await scim_stage.provider(links_scim_users=True))).data["user_id"]
    listed = (await scim_stage.app.call("GET", USERS, scim_stage.admin)).data
    assert [item["id"] for item in listed["items"]] == [ann, bob, carla]
    assert listed["next_offset"] is None
    first, second, third = listed["items"]
    assert (first["external_subject"], first["email"], first["display_name"]) == (
        "ann",
        "Ann@Corp.example",
        "Ann",
    )
    assert first["last_login_at"] is not None
    assert (second["external_subject"], second["status"], second["email"]) == ("bob", "disabled", None)
    assert third["external_subject"] == "carla"
    pages = [
        (
            await scim_stage.app.call("GET", USERS, scim_stage.admin, params={"limit": "1", "offset": str(n)})
        ).data
        for n in range(4)
    ]
    assert [item["id"] for page in pages for item in page["items"]] == [ann, bob, carla]
    assert [page["next_offset"] for page in pages] == [1, 2, None, None]
