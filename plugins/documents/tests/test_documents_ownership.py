"""Whose a corpus is, and whom a grant may name."""

import attrs
import pytest
from ragwork_documents.corpora import ownership
from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.authz import ALLOW, Abstain, Deny, Resource

AUDITED = ("directory", "apikeys", "rbac", "wordllama", "pgvector", "documents", "audit")

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def patch(it, key, **body):
    return await it.app.call("PATCH", "/v1/corpora/c", key, json=body)


def configured(**retrieval):
    return {"provider_config_json": {"retrieval": retrieval}}


def read_by(*readers, **more):
    return {"provider_config_json": {"acl": {"default_readers": list(readers), **more}}}


async def grants_on(it, admin, document_id):
    path = f"/v1/admin/authz/documents/{document_id}/permissions"
    return (await it.app.call("GET", path, admin)).data["items"]


async def test_only_owner_and_administrators_configure_a_corpus(it):
    ann, bob, admin = await it.key("ann"), await it.key("bob"), await it.key("root", "admin")
    made = await it.corpus(ann)
    assert made["owner"] == "ann"
    for body in (
        read_by("user:bob"),
        read_by("tenant"),
        configured(lexical_weight=1.0),
        configured(embedder="wordllama"),
        configured(shadow="local_pgvector"),
        configured(fallback=["local_pgvector"]),
        configured(top_k_default=6),
    ):
        refused = await patch(it, bob, name="stolen", **body)
        assert (refused.status, refused.code) == (403, "AUTHZ_DENIED"), body
        assert refused.body["error"]["details"] == {"owner": "ann"}
    for key in (ann, bob):
        assert (await patch(it, key, owner="bob")).status == 403
    assert (await it.app.call("GET", "/v1/corpora/c", ann)).data == made
    assert (await patch(it, bob, name="ours")).status == 200
    in_force = made["provider_config_json"]
    assert (await patch(it, bob, provider_config_json=in_force)).status == 200  # it changes nothing
    assert (await patch(it, ann, **read_by("user:bob"))).status == 200
    assert (await patch(it, admin, **read_by("tenant"))).status == 200


async def test_a_corpus_can_not_be_taken_by_deleting_it_and_making_it_again(it):
    ann, bob = await it.key("ann"), await it.key("bob")
    await it.corpus(ann)
    refused = await it.app.call("DELETE", "/v1/corpora/c", bob)
    assert (refused.status, refused.code) == (403, "AUTHZ_DENIED")
    assert (await it.app.call("DELETE", "/v1/corpora/c", ann)).status == 204


async def test_a_corpus_of_before_is_the_administrators_until_they_hand_it_over(it):
    ann, admin = await it.key("ann"), await it.key("root", "admin")
    await it.corpus(ann)
    async with it.app.platform.parts.db.tenant(it.tenant) as tx:
        await tx.execute(
            "UPDATE documents.corpora SET owner = NULL, readers_set_by = NULL, default_readers = $1",
            ["user:ann"],
        )
    assert (await patch(it, ann, **read_by("user:ann", "tenant"))).status == 403
    assert (await patch(it, ann, owner="ann")).status == 403
    await it.indexed(ann, "a text", "d1")
    assert {g["granted_by"] for g in await grants_on(it, admin, "d1")} == {"ann", None}
    nobody = await patch(it, admin, owner="an")
    assert nobody.status == 422
    assert "did you mean 'ann'?" in nobody.body["error"]["details"]["errors"][0]["msg"]
    assert (await patch(it, admin, owner="ann")).data["owner"] == "ann"
    assert (await patch(it, ann, **read_by("tenant"))).status == 200


async def test_default_readers_are_given_by_who_set_them(it):
    ann, victim = await it.key("ann"), await it.key("victim")
    admin = await it.key("root", "admin")
    await it.corpus(ann, config=read_by("user:victim")["provider_config_json"])
    assert (await patch(it, admin, **read_by("user:ann"))).status == 200
    await it.indexed(victim, "a text", "d1")
    by = {(g["principal_id"], g["permission"]): g["granted_by"] for g in await grants_on(it, admin, "d1")}
    assert by == {("victim", "owner"): "victim", ("ann", "read"): "root"}


async def test_each_effect_on_a_corpus_has_an_audit_event_of_its_own(api):
    async with api(plugins=AUDITED) as it:
        ann, admin = await it.key("ann"), await it.key("root", "admin")
        await it.corpus(ann)
        body = {"retrieval": {"lexical_weight": 0.5}, "acl": {"default_readers": ["tenant"]}}
        assert (await patch(it, ann, provider_config_json=body)).status == 200
        assert (await patch(it, admin, owner="root")).status == 200
        events = (await it.app.call("GET", "/v1/audit/events", admin)).data["items"]
        told = {e["event_type"]: e for e in events if e["event_type"].startswith("corpora.")}
        assert told["corpora.readers.updated"]["metadata_json"]["to"] == [f"tenant:{it.tenant}"]
        assert told["corpora.provider.updated"]["metadata_json"] == {"changed": ["lexical_weight"]}
        assert told["corpora.owner.updated"]["metadata_json"] == {"from": "ann", "to": "root"}
        assert "corpora.updated" in told


async def test_the_owner_or_an_administrator_and_both_of_an_agent_and_its_person():
    def caller(user, role=Role.EDITOR, person=None):
        return Principal(
            tenant_id="t1", user_id=user, credential_id="k", kind="agent", role=role, on_behalf_of=person
        )

    gate, ann = ownership.CorpusOwnership(), caller("ann")
    corpus = Resource(kind="corpus", id="c", tenant_id="t1", owner="ann")
    ownerless = attrs.evolve(corpus, owner=None)
    admin = caller("root", Role.ADMIN)
    for who, what, action, allowed in (
        (ann, corpus, ownership.CONFIGURE, True),
        (ann, ownerless, ownership.CONFIGURE, False),
        (ann, corpus, ownership.ADMINISTER, False),
        (caller("bob"), corpus, ownership.DELETE, False),
        (caller("bob"), corpus, ownership.WRITE, True),
        (caller("agent", person=ann), corpus, ownership.CONFIGURE, True),
        (caller("agent", person=caller("bob")), corpus, ownership.CONFIGURE, False),
        (admin, ownerless, ownership.CONFIGURE, True),
        (admin, attrs.evolve(corpus, tenant_id="t2"), ownership.CONFIGURE, False),
    ):
        verdict = await gate.decide(who, action, what, None)
        assert (verdict == ALLOW) == allowed, (who, what, action)
        assert allowed or isinstance(verdict, Deny)
    document = attrs.evolve(corpus, kind="document")
    assert isinstance(await gate.decide(ann, ownership.CONFIGURE, document, None), Abstain)
    assert ownership.owner_of(caller("agent", person=ann)) == "ann"


NOBODY = [
    ("user", "rit", "did you mean 'rita'?"),
    ("user", "RITA", "did you mean 'rita'?"),
    ("user", "rita@example.org", "did you mean 'rita'?"),
    ("group", "Engineers", "did you mean 'crew1'?"),
    ("group", "crew2", "did you mean 'crew1'?"),
    ("api_key", "no-such-key", "does not exist"),
    ("role", "readers", "reader, editor, admin"),
    ("tenant", "somebody-else", "your own tenant"),
]


@pytest.mark.parametrize(("kind", "name", "hint"), NOBODY)
async def test_a_grant_to_nobody_is_refused_and_names_the_nearest(it, kind, name, hint):
    admin = await it.key("root", "admin")
    await it.key("rita", "reader")
    async with it.app.platform.parts.db.tenant(it.tenant) as tx:
        await tx.execute("UPDATE directory.users SET email = 'rita@example.org' WHERE id = 'rita'")
        await tx.execute(
            "INSERT INTO directory.groups (tenant_id, id, name) VALUES (ragwork.tenant(), 'crew1', 'Engineers')"
        )
    await it.corpus(admin)
    await it.indexed(admin, "a text", "d1")
    before = await grants_on(it, admin, "d1")
    answers = [
        await it.grant(admin, "d1", kind, name),
        await it.app.call(
            "POST",
            "/v1/admin/authz/documents/d1/permissions/bulk",
            admin,
            json={
                "permissions": [
                    {"principal_type": "user", "principal_id": "rita", "permission": "read"},
                    {"principal_type": kind, "principal_id": name, "permission": "read"},
                ]
            },
        ),
    ]
    if kind not in ("role", "tenant"):
        answers.append(await patch(it, admin, **read_by(f"{kind}:{name}")))
    for answer in answers:
        assert (answer.status, answer.code) == (422, "REQUEST_VALIDATION_ERROR"), answer.text
        assert hint in answer.body["error"]["details"]["errors"][0]["msg"]
    assert answers[1].body["error"]["details"]["errors"][0]["loc"] == [
        "body",
        "permissions",
        1,
        "principal_id",
    ]
    assert await grants_on(it, admin, "d1") == before


async def test_create_makes_users_and_groups_and_nothing_else(it):
    admin, ann = await it.key("root", "admin"), await it.key("ann")
    await it.corpus(ann)
    await it.indexed(ann, "a text", "d1")
    for kind, name, status in (
        ("user", "new", 201),
        ("group", "crew", 201),
        ("api_key", "0000000000000000", 422),
        ("role", "root", 422),
        ("tenant", it.other, 422),
    ):
        assert (await it.grant(admin, "d1", kind, name, create=True)).status == status, kind
    assert (await it.grant(admin, "d1", "user", "new")).status == 201  # it is there now
    async with it.app.platform.parts.db.tenant(it.tenant) as tx:
        assert await tx.fetchval("SELECT role FROM directory.users WHERE id = 'new'") == "reader"
    assert (await patch(it, ann, **read_by("user:later", create=True))).status == 403
    made = await patch(it, admin, **read_by("user:later", create=True))
    assert made.data["provider_config_json"]["acl"] == {"default_readers": ["user:later"]}
    assert (await it.grant(admin, "d1", "user", "later")).status == 201


async def test_a_reader_who_left_does_not_stop_other_changes(it):
    ann, admin = await it.key("ann"), await it.key("root", "admin")
    await it.corpus(ann)
    assert (await patch(it, admin, **read_by("group:gone", create=True))).status == 200
    async with it.app.platform.parts.db.tenant(it.tenant) as tx:
        await tx.execute("DELETE FROM directory.groups")
    body = {"retrieval": {"top_k_default": 7}, "acl": {"default_readers": ["group:gone"]}}
    assert (await patch(it, ann, provider_config_json=body)).status == 200
    body["acl"]["default_readers"].append("group:other")
    assert (await patch(it, ann, provider_config_json=body)).status == 422
