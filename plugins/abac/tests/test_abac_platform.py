"""Policies on a running platform: their routes, and what they change for documents, lists, retrieval and runs."""

import asyncio
import contextlib
import json
import random
import time
import uuid

import asyncpg
import attrs
import pytest
import pytest_asyncio
from ragwork_testkit.platform import DEFAULT_PLUGINS, running

PLUGINS = (*DEFAULT_PLUGINS, "abac")
POLICIES = "/v1/admin/authz/policies"
SECRET = {"eq": [{"var": "resource.labels.sensitivity"}, "high"]}


@attrs.frozen
class Api:
    """A tenant of its own on a running platform."""

    app: object
    tenant: str = attrs.field(factory=lambda: f"t-{uuid.uuid4().hex[:8]}")

    async def key(self, user, role="editor"):
        return await self.app.key(tenant=self.tenant, role=role, user=user)

    async def policy(self, admin, effect="deny", type_="document", action="read", condition=None, **more):
        body = {
            "name": "p",
            "effect": effect,
            "resource_type": type_,
            "action": action,
            "condition_json": condition,
        }
        return await self.app.call("POST", POLICIES, admin, json={**body, **more})

    async def document(self, key, document_id, text, labels=None):
        body = {
            "corpus_id": "c",
            "text": text,
            "document_id": document_id,
            "metadata_json": {"labels": labels or {}},
        }
        return await self.app.call("POST", "/v1/documents/text", key, json=body)

    async def corpus(self, key):
        answer = await self.app.call(
            "POST", "/v1/corpora", key, json={"id": "c", "name": "c", "provider_config_json": {}}
        )
        assert answer.status == 201, answer.text

    async def indexed(self, key, document_id, text, labels=None):
        answer = await self.document(key, document_id, text, labels)
        assert answer.status == 202, answer.text
        await self.app.ingested(key, document_id)

    async def get(self, key, document_id):
        return await self.app.call("GET", f"/v1/documents/{document_id}", key)

    async def listed(self, key):
        answer = await self.app.call("GET", "/v1/documents", key)
        return {document["id"] for document in answer.data}

    async def retrieved(self, key, query):
        answer = await self.app.call("POST", "/v1/retrieve", key, json={"corpus_id": "c", "query": query})
        assert answer.status == 200, answer.text
        return {passage["document_id"] for passage in answer.data["passages"]}

    async def cited(self, key, question):
        body = {
            "session_id": uuid.uuid4().hex,
            "corpus_id": "c",
            "message": question,
            "top_k": 10,
            "audio": False,
        }
        events = await self.app.events("/v1/run", key, body)
        assert events[-1].type == "done", events
        return json.dumps([event.payload for event in events])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(postgres):
    async with running(postgres, PLUGINS) as started:
        yield started


@pytest.fixture
def it(app):
    return Api(app)


@pytest.fixture
def api(postgres):
    @contextlib.asynccontextmanager
    async def start(**settings):
        async with running(postgres, PLUGINS, settings) as started:
            yield Api(started)

    return start


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_policy_lives_from_creation_to_disabling(it):
    admin = await it.key("root", "admin")
    made = await it.policy(admin, condition=SECRET, priority=200, name="deny-high-sensitivity")
    assert made.status == 201, made.text
    policy = made.data
    assert (policy["version"], policy["tenant_id"], policy["created_by"]) == (1, it.tenant, "root")
    assert policy["condition_json"] == SECRET
    path = f"{POLICIES}/{policy['id']}"
    patched = await it.app.call("PATCH", path, admin, json={"priority": 5, "condition_json": {}})
    assert (patched.data["version"], patched.data["priority"], patched.data["condition_json"]) == (2, 5, {})
    same = await it.app.call("PATCH", path, admin, json={"priority": 5})
    assert same.data["version"] == 2
    off = await it.app.call("POST", f"{path}/disable", admin)
    assert (off.data["enabled"], off.data["version"]) == (False, 3)
    again = await it.app.call("POST", f"{path}/disable", admin)
    assert again.data == off.data
    assert (await it.app.call("POST", f"{path}/enable", admin)).data["enabled"] is True


async def test_built_in_policies_are_listed_and_can_not_be_changed(it):
    admin = await it.key("root", "admin")
    mine = (await it.policy(admin)).data["id"]
    listed = (await it.app.call("GET", POLICIES, admin)).data["items"]
    assert [policy["id"] for policy in listed if policy["tenant_id"]] == [mine]
    built_in = [policy for policy in listed if policy["tenant_id"] is None]
    assert len(built_in) == 3
    own = (await it.app.call("GET", POLICIES, admin, params={"include_global": "false"})).data["items"]
    assert [policy["id"] for policy in own] == [mine]
    for policy in built_in:
        path = f"{POLICIES}/{policy['id']}"
        assert (await it.app.call("PATCH", path, admin, json={"enabled": False})).code == "NOT_FOUND"
        assert (await it.app.call("POST", f"{path}/disable", admin)).code == "NOT_FOUND"


async def test_policies_stay_in_their_tenant_and_with_administrators(it):
    admin, other = await it.key("root", "admin"), await Api(it.app).key("root", "admin")
    path = f"{POLICIES}/{(await it.policy(admin)).data['id']}"
    assert (await it.app.call("PATCH", path, other, json={"priority": 1})).code == "NOT_FOUND"
    question = {"resource_type": "document", "action": "read"}
    assert (await it.app.call("POST", f"{path}/simulate", other, json=question)).code == "NOT_FOUND"
    editor = await it.key("ed")
    assert (await it.app.call("GET", POLICIES, editor)).code == "AUTH_FORBIDDEN"
    assert (await it.policy(editor)).code == "AUTH_FORBIDDEN"
    sneaky = {"name": "p", "effect": "deny", "resource_type": "*", "action": "read", "tenant_id": "x"}
    assert (await it.app.call("POST", POLICIES, admin, json=sneaky)).code == "TENANT_ID_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("body", "code", "where"),
    [
        ({"condition_json": {"nope": 1}}, "AUTHZ_POLICY_INVALID", ["body", "condition_json", "nope"]),
        ({"resource_type": "table"}, "AUTHZ_POLICY_INVALID", ["body", "resource_type"]),
        ({"action": "own"}, "AUTHZ_POLICY_INVALID", ["body", "action"]),
        ({"resource_type": "*", "action": "*"}, "AUTHZ_POLICY_INVALID", ["body", "action"]),
        (
            {"condition_json": {"eq": ["x" * 20_000, 1]}},
            "AUTHZ_POLICY_TOO_COMPLEX",
            ["body", "condition_json"],
        ),
        ({"effect": "maybe"}, "REQUEST_VALIDATION_ERROR", ["body", "effect"]),
        ({"priority": 10**30}, "REQUEST_VALIDATION_ERROR", ["body", "priority"]),
    ],
)
async def test_a_bad_policy_is_refused_by_the_path_of_its_fault(it, body, code, where):
    admin = await it.key("root", "admin")
    good = {"name": "p", "effect": "deny", "resource_type": "document", "action": "read"}
    answer = await it.app.call("POST", POLICIES, admin, json={**good, **body})
    assert (answer.status, answer.code) == (422, code)
    assert answer.body["error"]["details"]["errors"][0]["loc"] == where
    own = await it.app.call("GET", POLICIES, admin, params={"include_global": "false"})
    assert own.data["items"] == []


async def test_huge_policies_are_refused_at_once(it):
    admin = await it.key("root", "admin")
    best = 1.0
    for condition, code in (
        ({"all": [{}] * 250_000}, "REQUEST_VALIDATION_ERROR"),  # more values than any body may have
        ({"eq": ["x" * 900_000, 1]}, "AUTHZ_POLICY_TOO_COMPLEX"),
    ):
        body = {
            "name": "p",
            "effect": "deny",
            "resource_type": "document",
            "action": "read",
            "condition_json": condition,
        }
        for _ in range(3):
            started = time.perf_counter()
            answer = await it.app.call("POST", POLICIES, admin, json=body)
            timing = answer.headers.get("Server-Timing", "")
            assert (answer.status, answer.code) == (422, code), timing
            best = min(best, time.perf_counter() - started)
    # The client's own encoding and the loopback are in it: the refusal itself is far quicker.
    assert best < 0.1


async def test_a_fresh_install_works_for_the_creator_and_whom_it_grants(it):
    admin, ann, bob = await it.key("root", "admin"), await it.key("ann"), await it.key("bob", "reader")
    await it.corpus(ann)
    await it.indexed(ann, "d1", "The tide turns at noon.")
    assert await it.listed(ann) == await it.retrieved(ann, "tide") == {"d1"}
    assert await it.listed(bob) == await it.retrieved(bob, "tide") == set()
    assert (await it.get(bob, "d1")).code == "AUTHZ_DENIED"
    grant = {"principal_type": "user", "principal_id": "bob", "permission": "read"}
    path = "/v1/admin/authz/documents/d1/permissions"
    assert (await it.app.call("POST", path, admin, json=grant)).status == 201
    assert await it.listed(bob) == await it.retrieved(bob, "tide") == {"d1"}
    assert (await it.app.call("DELETE", "/v1/documents/d1", bob)).status == 403


async def test_a_label_policy_holds_for_reads_lists_retrieval_and_runs(it):
    admin, ann = await it.key("root", "admin"), await it.key("ann")
    await it.corpus(ann)
    await it.indexed(ann, "open", "The tide turns at noon in the harbour.", {"sensitivity": "low"})
    await it.indexed(
        ann, "shut", "The tide of the secret harbour turns at noon too.", {"sensitivity": "high"}
    )
    await it.indexed(ann, "bare", "The tide of the bare harbour turns at noon as well.")
    question = "When does the tide of the secret harbour turn?"
    assert '"document_id": "shut"' in await it.cited(ann, question)
    made = await it.policy(admin, condition=SECRET)
    # What has no label may be secret: an unknown deny denies.
    assert await it.listed(ann) == await it.retrieved(ann, "tide harbour") == {"open"}
    said = await it.cited(ann, question)
    assert '"document_id": "open"' in said
    assert '"shut"' not in said
    assert '"bare"' not in said
    for document_id in ("shut", "bare"):
        denied = await it.get(ann, document_id)
        assert (denied.status, denied.code) == (403, "AUTHZ_DENIED")
        assert denied.body["error"]["details"]["policy_id"] == made.data["id"]
    assert (await it.get(ann, "open")).status == 200
    path = f"{POLICIES}/{made.data['id']}"
    await it.app.call("POST", f"{path}/disable", admin)
    assert await it.listed(ann) == {"open", "shut", "bare"}


async def test_a_policy_about_writing_meets_new_and_relabelled_documents(it):
    admin, ann = await it.key("root", "admin"), await it.key("ann")
    await it.corpus(ann)
    await it.indexed(ann, "d1", "a text", {"sensitivity": "low"})
    labelled = {"in": [{"var": "resource.labels.sensitivity"}, ["high"]]}
    await it.policy(admin, action="write", condition=labelled)
    denied = await it.document(ann, "d2", "a text", {"sensitivity": "high"})
    assert (denied.status, denied.code) == (403, "AUTHZ_DENIED")
    assert (await it.get(ann, "d2")).status == 404
    body = {"corpus_id": "c", "text": "new", "document_id": "d1", "overwrite": True}
    relabelled = {**body, "metadata_json": {"labels": {"sensitivity": "high"}}}
    assert (await it.app.call("POST", "/v1/documents/text", ann, json=relabelled)).code == "AUTHZ_DENIED"
    assert (await it.document(ann, "d3", "a text", {"sensitivity": "low"})).status == 202


async def test_policies_hold_for_what_is_no_document(it):
    admin, ann = await it.key("root", "admin"), await it.key("ann", "reader")
    readers = {"eq": [{"var": "principal.role"}, "reader"]}
    made = await it.policy(admin, type_="corpus", condition=readers)
    denied = await it.app.call("GET", "/v1/corpora", ann)
    assert (denied.status, denied.code) == (403, "AUTHZ_DENIED")
    assert (await it.app.call("GET", "/v1/corpora", admin)).status == 200
    await it.app.call("POST", f"{POLICIES}/{made.data['id']}/disable", admin)
    assert (await it.app.call("GET", "/v1/corpora", ann)).status == 200


async def test_a_change_reaches_another_process_within_a_second(it, postgres):
    async with running(postgres, PLUGINS, database_url=it.app.database_url) as second:
        admin = await it.key("root", "admin")
        assert (await second.call("GET", "/v1/corpora", admin)).status == 200
        await it.policy(admin, type_="corpus")
        started = time.monotonic()
        while (await second.call("GET", "/v1/corpora", admin)).status == 200:
            assert time.monotonic() - started < 1.0
            await asyncio.sleep(0.02)


async def test_simulation_and_enforcement_agree(it):
    admin, ann = await it.key("root", "admin"), await it.key("ann")
    await it.corpus(ann)
    rng = random.Random(7)
    labels = {
        f"d{n}": {"sensitivity": level} if level else {} for n, level in enumerate(("high", "low", None))
    }
    for document_id, given in labels.items():
        await it.indexed(ann, document_id, "a text", given)
    made = []
    for _ in range(25):
        condition = rng.choice(
            (SECRET, {"not": SECRET}, {"eq": [{"var": "principal.role"}, rng.choice(("editor", "admin"))]}, {},
             {"starts_with": [{"var": "resource.id"}, "d1"]}, {"contains": [{"var": "principal.groups"}, "g"]})
        )  # fmt: skip
        more = {"effect": rng.choice(("allow", "deny")), "priority": rng.randrange(3)}
        made.append((await it.policy(admin, condition=condition, **more)).data["id"])
        for document_id, given in labels.items():
            question = {
                "resource_type": "document", "action": "read",
                "principal": {"id": "ann", "role": "editor", "kind": "api_key", "platform": False, "groups": []},
                "resource": {"id": document_id, "owner": "ann", "labels": given,
                             "permissions": ["delete", "owner", "read", "reindex", "write"]},
            }  # fmt: skip
            said = await it.app.call("POST", f"{POLICIES}/{made[-1]}/simulate", admin, json=question)
            done = await it.get(ann, document_id)
            assert said.status == 200, said.text
            assert said.data["allowed"] == (done.status == 200)
            if done.status == 403:
                details = done.body["error"]["details"]
                assert (said.data["reason"], said.data["matched_policy_id"]) == (
                    details["reason"], details.get("policy_id")
                )  # fmt: skip
        await it.app.call("POST", f"{POLICIES}/{rng.choice(made)}/{rng.choice(('enable', 'disable'))}", admin)


async def test_simulation_tries_a_policy_that_is_not_in_force_and_tells_how(it):
    admin = await it.key("root", "admin")
    made = (await it.policy(admin, condition=SECRET, enabled=False)).data["id"]
    path = f"{POLICIES}/{made}/simulate"
    question = {
        "resource_type": "document",
        "action": "read",
        "resource": {"labels": {"sensitivity": "high"}},
    }
    said = (await it.app.call("POST", path, admin, json=question)).data
    assert (said["allowed"], said["reason"], said["matched_policy_id"]) == (False, "policy_deny", made)
    assert said["matched_policies"][0] == made
    assert {"policy_id": made, "result": "true", "matched": True}.items() <= said["trace"][0].items()
    question["resource"] = {"labels": {"sensitivity": "low"}, "permissions": ["read"]}
    said = (await it.app.call("POST", path, admin, json=question)).data
    assert (said["allowed"], said["matched_policy_id"]) == (True, "builtin.document-grants")
    del question["resource"]
    said = (await it.app.call("POST", path, admin, json=question)).data
    assert said["trace"][0]["result"] == "unknown"
    assert said["reason"] == "policy_deny"


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"resource_type": "*"}, 400, "AUTHZ_SIMULATION_INVALID"),
        ({"action": "own"}, 400, "AUTHZ_SIMULATION_INVALID"),
        ({"principal": {"role": 3}}, 400, "AUTHZ_SIMULATION_INVALID"),
        ({"principal": {"__class__": "x"}}, 400, "AUTHZ_SIMULATION_INVALID"),
        ({"resource": {"labels": {"a": 1}}}, 400, "AUTHZ_SIMULATION_INVALID"),
        ({"resource": {"labels": []}}, 400, "AUTHZ_SIMULATION_INVALID"),
        ({"context": {"ip": "1.2.3.4"}}, 400, "AUTHZ_SIMULATION_INVALID"),
        ({"principal": {"tenant_id": "elsewhere"}}, 403, "AUTHZ_DENIED"),
        ({"resource": {"tenant_id": "elsewhere"}}, 403, "AUTHZ_DENIED"),
    ],
)
async def test_a_question_that_no_policy_could_be_asked_is_refused(it, more, status, code):
    admin = await it.key("root", "admin")
    path = f"{POLICIES}/builtin.roles/simulate"
    answer = await it.app.call("POST", path, admin, json={"resource_type": "run", "action": "run", **more})
    assert (answer.status, answer.code) == (status, code)


async def test_a_tenant_keeps_a_bounded_number_of_policies(it, monkeypatch):
    monkeypatch.setattr("ragwork_abac.store.MAX_POLICIES", 3)
    admin = await it.key("root", "admin")
    answers = await asyncio.gather(*(it.policy(admin, enabled=False) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [201] * 3 + [422] * 5
    assert {answer.code for answer in answers if answer.status == 422} == {"AUTHZ_POLICY_TOO_COMPLEX"}


async def test_the_posture_is_what_the_database_was_found_to_be(it):
    admin = await it.key("root", "admin")
    posture = await it.app.call("GET", "/v1/ops/authz/posture", admin)
    assert posture.data == {
        "tenant_predicate_required": True,
        "enforcement_mode": "forced_row_level_security",
        "abac_enabled": True,
        "default_deny": True,
    }
    owner = await asyncpg.connect(it.app.database_url)
    try:
        await owner.execute("ALTER TABLE abac.policies NO FORCE ROW LEVEL SECURITY")
        found = (await it.app.call("GET", "/v1/ops/authz/posture", admin)).data
        assert (found["tenant_predicate_required"], found["enforcement_mode"]) == (False, "incomplete")
    finally:
        await owner.execute("ALTER TABLE abac.policies FORCE ROW LEVEL SECURITY")
        await owner.close()


async def test_a_policy_that_was_broken_in_the_database_denies_and_is_counted(it):
    admin, ann = await it.key("root", "admin"), await it.key("ann", "reader")
    made = (await it.policy(admin, "allow", type_="corpus")).data["id"]
    owner = await asyncpg.connect(it.app.database_url)
    try:
        await owner.execute(
            "UPDATE abac.policies SET condition = '{\"nope\": 1}' WHERE tenant_id = $1 AND id = $2",
            it.tenant,
            made,
        )
    finally:
        await owner.close()
    await it.policy(admin, "allow", type_="run")  # drops the cached set
    denied = await it.app.call("GET", "/v1/corpora", ann)
    assert (denied.status, denied.body["error"]["details"]["reason"]) == (403, "policy_invalid")
    series = it.app.platform.facades["abac"].metrics.read()
    assert any("authz_policies_invalid" in sample.name and sample.value for sample in series)
    assert (await it.app.call("POST", f"{POLICIES}/{made}/disable", admin)).status == 200
    assert (await it.app.call("GET", "/v1/corpora", ann)).status == 200


async def test_switches(api):
    async with api(
        AUTHZ_ABAC_ENABLED="false", AUTHZ_ALLOW_WILDCARDS="true", AUTHZ_SIMULATION_ENABLED="false"
    ) as it:
        admin = await it.key("root", "admin")
        made = await it.policy(admin, type_="*", action="*")
        assert made.status == 201
        assert (await it.app.call("GET", "/v1/corpora", admin)).status == 200
        path, question = f"{POLICIES}/{made.data['id']}/simulate", {"resource_type": "run", "action": "run"}
        assert (await it.app.call("POST", path, admin, json=question)).code == "AUTHZ_DENIED"


async def test_administrators_reach_every_document_where_the_operator_says_so(api):
    async with api(AUTHZ_ADMIN_BYPASS_DOCUMENT_ACL="true") as it:
        admin, ann = await it.key("root", "admin"), await it.key("ann")
        await it.corpus(ann)
        await it.indexed(ann, "d1", "The tide turns.", {"sensitivity": "high"})
        assert (await it.get(admin, "d1")).status == 200
        assert await it.listed(admin) == await it.retrieved(admin, "tide") == {"d1"}
        await it.policy(admin, condition=SECRET)
        assert (await it.get(admin, "d1")).status == 403
        assert await it.listed(admin) == await it.retrieved(admin, "tide") == set()
