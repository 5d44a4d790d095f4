"""Question sets, evaluations and feedback through the API and the command."""

import asyncio
import json

import pytest
from ragwork_evals.evaluation import AskedQuestion, EvalSettings, Evaluator
from ragwork_evals.metrics import GroundTruth
from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.governance import Subject
from ragwork_testkit.platform import DEFAULT_PLUGINS

PLUGINS = (*DEFAULT_PLUGINS, "evals")
SETS, EVALS = "/v1/admin/evals/sets", "/v1/admin/evals"
FACTS = {
    "harbour": "The harbour gate opens at seven in the morning.",
    "castle": "The castle gate opens at nine in the morning.",
    "market": "The market sells fish on Fridays.",
}
QUESTIONS = [
    {"question": "When does the harbour gate open?", "documents": ["harbour"], "text": "seven"},
    {"question": "When does the castle gate open?", "documents": ["castle"], "text": "nine"},
    {"question": "What does the market sell on Fridays?", "text": "fish"},
    {"question": "Who painted the Mona Lisa?"},
]


@pytest.fixture
async def app(platform):
    async with platform(plugins=PLUGINS, settings={"LLM_PROVIDER": "extractive"}) as running:
        yield running


async def filled(app, corpus_id="c", prefix=""):
    key = await app.key(user="ann")
    await app.call("POST", "/v1/corpora", key, json={"id": corpus_id, "name": corpus_id})
    for name, fact in FACTS.items():
        body = {"corpus_id": corpus_id, "document_id": prefix + name, "text": fact}
        await app.call("POST", "/v1/documents/text", key, json=body)
    for name in FACTS:
        await until(app, key, f"/v1/documents/{prefix}{name}")
    return key


async def until(app, key, path):
    """What ``path`` shows once it is settled."""
    while True:
        found = (await app.call("GET", path, key)).data
        if found["status"] in ("succeeded", "failed"):
            return found
        await asyncio.sleep(0.05)


async def made_set(app, key, **more):
    made = await app.call("POST", SETS, key, json={"name": "gates", "questions": QUESTIONS, **more})
    assert made.status == 201, made.text
    return made.data["id"]


async def evaluated(app, key, set_id, **more):
    made = await app.call("POST", EVALS, key, json={"set_id": set_id, "corpus_id": "c", **more})
    assert made.status == 202, made.text
    return await until(app, key, f"{EVALS}/{made.data['id']}")


async def test_a_set_is_asked_scored_listed_and_compared(app):
    key = await filled(app)
    set_id = await made_set(app, key)
    first = await evaluated(app, key, set_id, top_k=1, min_score=0.2, answers=True)
    assert first["status"] == "succeeded", first
    assert first["done"] == 4
    assert first["metrics"]["recall"] == 1.0
    assert first["metrics"]["empty"] == 1.0
    assert first["metrics"]["holds"] == 1.0
    assert first["metrics"]["cites"] == 1.0
    assert first["metrics"]["refused_lacking"] == 1.0
    worse = await evaluated(app, key, set_id, top_k=1, min_score=1.0, answers=True)
    assert worse["metrics"]["recall"] == 0.0
    assert worse["metrics"]["refused"] == 1.0, "answers stood on what the evaluation leaves out"
    results = (await app.call("GET", f"{EVALS}/{first['id']}/results?limit=3", key)).data
    assert [row["n"] for row in results["items"]] == [1, 2, 3]
    assert results["items"][0]["found"] == ["harbour"]
    told = (await app.call("GET", f"{EVALS}/{first['id']}/compare/{worse['id']}", key)).data["metrics"]
    recall = next(each for each in told if each["metric"] == "recall")
    assert (recall["first"], recall["second"], recall["verdict"], recall["questions"]) == (
        1.0,
        0.0,
        "worse",
        3,
    )
    listed = (await app.call("GET", EVALS, key)).data["items"]
    assert {each["id"] for each in listed} == {first["id"], worse["id"]}
    assert (await app.call("GET", "/v1/sessions", key)).data == [], "an evaluation left its sessions behind"
    assert (await app.call("DELETE", f"{SETS}/{set_id}", key)).status == 204
    assert (await app.call("GET", f"{EVALS}/{first['id']}", key)).status == 404


async def test_what_the_asker_may_not_read_is_not_found(app):
    key = await filled(app)
    set_id = await made_set(app, key)
    other = await app.key(user="bob")
    assert (await evaluated(app, other, set_id))["metrics"]["recall"] == 0.0
    assert (await evaluated(app, key, set_id))["metrics"]["recall"] == 1.0


async def test_wrong_requests_say_what_is_wrong(app):
    key = await filled(app)
    set_id = await made_set(app, key)
    for body, status, said in (
        ({"set_id": "no", "corpus_id": "c"}, 404, "question set"),
        ({"set_id": set_id, "corpus_id": "no"}, 404, "corpus"),
        ({"set_id": set_id, "corpus_id": "c", "options": {"lexical_wait": 1}}, 422, "lexical_weight"),
    ):
        answer = await app.call("POST", EVALS, key, json=body)
        assert (answer.status, said in answer.text) == (status, True), answer.text
    empty = await app.call("POST", SETS, key, json={"name": "none"})
    assert (empty.status, "has no questions" in empty.text) == (422, True)
    reader = await app.key(role="editor", user="rita")
    assert (await app.call("GET", EVALS, reader)).status == 403


async def asked(app, key, session, question):
    run = {"session_id": session, "corpus_id": "c", "message": question}
    frames = await app.events("/v1/run", key, run)
    return frames[0].payload["request_id"]


async def test_feedback_becomes_a_set_and_is_erased_with_its_author(app):
    key = await filled(app)
    good = await asked(app, key, "s1", QUESTIONS[0]["question"])
    bad = await asked(app, key, "s2", QUESTIONS[2]["question"])
    for request_id, body in (
        (good, {"rating": "up"}),
        (bad, {"rating": "down", "expected": "fish", "comment": "no"}),
    ):
        given = await app.call("POST", f"/v1/runs/{request_id}/feedback", key, json=body)
        assert given.status == 201, given.text
    again = await app.call("POST", f"/v1/runs/{good}/feedback", key, json={"rating": "up", "comment": "yes"})
    assert again.data["comment"] == "yes"
    stranger = await app.key(user="bob")
    assert (
        await app.call("POST", f"/v1/runs/{good}/feedback", stranger, json={"rating": "up"})
    ).status == 404
    foreign = await app.key(tenant="t2")
    assert (await app.call("POST", f"/v1/runs/{good}/feedback", foreign, json={"rating": "up"})).status == 404
    listed = (await app.call("GET", f"{EVALS}/feedback", key)).data["items"]
    assert {(each["request_id"], each["rating"]) for each in listed} == {(good, "up"), (bad, "down")}

    made = await app.call("POST", SETS, key, json={"name": "said", "from_feedback": "c"})
    assert (made.status, made.data["questions"]) == (201, 2), made.text
    questions = (await app.call("GET", f"{SETS}/{made.data['id']}/questions", key)).data["items"]
    assert {(q["question"], tuple(q["documents"]), q["text"]) for q in questions} == {
        (QUESTIONS[0]["question"], ("harbour",), ""),
        (QUESTIONS[2]["question"], (), "fish"),
    }
    store = next(each for each in app.platform.plan.data_stores if each.name == "feedback")
    async with app.platform.parts.db.tenant("t1") as tx:
        exported = [row async for row in store.export(tx, Subject(kind="user", id="ann"))]
        assert {row["request_id"] for row in exported} == {good, bad}
        assert await store.erase(tx, Subject(kind="session", id="ann/s1")) == 1
        assert await store.erase(tx, Subject(kind="user", id="ann")) == 1
        assert await store.erase(tx, Subject(kind="user", id="ann")) == 0
    left = (await app.call("GET", f"{SETS}/{made.data['id']}/questions", key)).data["items"]
    assert left == [], "questions outlived the feedback that they were made of"


async def test_the_command_compares_two_configurations(app, tmp_path):
    await filled(app)
    file = tmp_path / "questions.jsonl"
    file.write_text("\n".join(json.dumps(question) for question in QUESTIONS))
    options = {"file": str(file), "tenant": "t1", "corpus": "c", "user": "ann", "top_k": "1"}
    done = await app.command("eval", **options, against="lexical_weight=0.9")
    (data,) = done.results
    assert (data["questions"], data["metrics"]["recall"]) == (4, 1.0)
    assert {each["metric"] for each in data["differences"]} == {"recall", "ndcg", "mrr", "empty"}
    assert "between" in str(done.said)
    for line, said in (
        ("{", "not valid JSON"),
        ('{"query": "x"}', 'with a "question"'),
        ("", "has 0 questions"),
    ):
        file.write_text(line)
        with pytest.raises(RuntimeError, match=said):
            await app.command("eval", **options)


async def test_a_question_that_cannot_be_asked_fails_with_the_provider_s_reason(app):
    await filled(app)
    evaluator = Evaluator(app.platform.facades["evals"])

    class Away:
        async def prepare(self, tenant_id, asked):
            raise ProviderError("EMBEDDING_ERROR", "the service is away")

    async def advance(more):
        raise AssertionError(more)

    evaluator._search = Away()
    asked = [AskedQuestion(n=n, question="?", expected=GroundTruth(documents=["a"])) for n in (1, 2)]
    asker = Principal(tenant_id="t1", user_id="ann", credential_id="k", kind="system", role=Role.ADMIN)
    with pytest.raises(ProviderError, match="the service is away"):
        await evaluator.ask(asker, "c", asked, EvalSettings(), advance)


async def test_an_evaluation_whose_worker_dies_is_made_again_once(app):
    key = await filled(app)
    set_id = await made_set(app, key)
    done = await evaluated(app, key, set_id)
    async with app.platform.parts.db.tenant("t1") as tx:
        await tx.execute("UPDATE evals.runs SET status = 'running', metrics = NULL")
        await tx.execute("DELETE FROM evals.results")
        await app.platform.parts.jobs.enqueue(tx, "evals.run", {"run_id": done["id"]})
    found = await until(app, key, f"{EVALS}/{done['id']}")
    assert found["metrics"] == done["metrics"]
    assert found["done"] == 4
