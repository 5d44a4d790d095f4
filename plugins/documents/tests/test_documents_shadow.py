"""Shadow reads: compared, never shown, never in the way."""

import asyncio
import logging
import time
import uuid

import attrs
import pytest
from ragwork_documents.permissions.permission_recheck import SPARE
from ragwork_documents.search import shadow
from ragwork_documents.search.shadow import MAX_UNDER_WAY, Shadowed, Shadows, overlap
from ragwork_hooks.authz import Everything
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.retrieval import Query

pytestmark = pytest.mark.asyncio(loop_scope="module")


@attrs.frozen
class Options:
    index: str = attrs.field(kw_only=True)


async def shadowed(it, engine, options=None, acl=None):
    """A corpus with three documents, ``engine`` as its shadow; the name and the owner's key."""
    name = f"shadow-{uuid.uuid4().hex[:8]}"
    it.offer(name, engine, Options)
    owner = await it.key("ann")
    retrieval = {"shadow": name, "shadow_options": options or {"index": "i1"}}
    await it.corpus(owner, config={"retrieval": retrieval})
    for document_id in ("d1", "d2", "d3"):
        await it.indexed(owner, f"secret text {document_id}", document_id)
    return name, owner


async def counted(it, name, *wanted):
    """Wait until all of ``wanted`` stand in the metrics among the lines that name the shadow."""
    for _ in range(100):
        text = (await it.app.call("GET", "/v1/metrics")).text
        lines = [line for line in text.splitlines() if f'shadow="{name}"' in line]
        if all(any(w in line for line in lines) for w in wanted):
            return lines
        await asyncio.sleep(0.02)
    raise AssertionError(f"{wanted} not in {lines}")


async def test_a_shadow_is_compared_within_the_same_rights_and_never_shown(it, caplog):
    caplog.set_level(logging.INFO, "ragwork_documents.search.shadow")
    engine = it.engine("d1", "hidden", "d2", "deleted")
    name, owner = await shadowed(it, engine)
    await it.indexed(await it.key("bob"), "secret text of bob", "hidden")
    found = await it.passages(owner, "secret text", top_k=3)
    assert [p["document_id"] for p in found] == ["d1", "d2", "d3"]
    lines = await counted(it, name, 'outcome="different"', 'found_by="both"', 'found_by="own"', 'side="own"')
    assert any('found_by="both"' in line and line.endswith(" 2.0") for line in lines)
    assert not any('found_by="shadow"' in line for line in lines)  # hidden is not hers to count
    (asked,) = engine.asked
    assert (asked.options, asked.shadow, asked.fallback, asked.top_k) == (
        {"index": "i1"},
        None,
        (),
        3 + SPARE,
    )
    (record,) = [r for r in caplog.records if r.message == "shadow read"]
    assert (record.overlap, record.outcome, record.shadow) == (0.667, "different", name)
    assert "secret" not in str(vars(record))


async def test_a_failing_or_hanging_shadow_neither_fails_nor_slows_and_the_excess_is_dropped(it):
    engine = it.engine("d1")
    name, owner = await shadowed(it, engine)
    for error in (ProviderError("AWS_AUTH_ERROR", "no"), RuntimeError("a bug")):
        engine.error = error
        assert len(await it.passages(owner, "secret text")) == 3
    await counted(it, name, 'outcome="failed"')
    engine.error = None
    engine.gate.clear()
    started = time.monotonic()
    for _ in range(MAX_UNDER_WAY + 2):
        assert len(await it.passages(owner, "secret text")) == 3
    assert time.monotonic() - started < 30
    lines = await counted(it, name, 'outcome="dropped"')
    assert any('outcome="dropped"' in line and line.endswith(" 2.0") for line in lines)
    engine.gate.set()
    engine.found = it.engine("d1", "d2", "d3").found
    await counted(it, name, 'outcome="same"')


async def test_draining_waits_for_shadows_but_not_for_ever(it, monkeypatch):
    monkeypatch.setattr(shadow, "TIME_LIMIT_S", 0.2)
    services = it.app.platform.facades["documents"]
    own, engine = it.engine("d1"), it.engine("d1")
    name = f"shadow-{uuid.uuid4().hex[:8]}"
    it.offer(name, engine)
    shadows = Shadows(services)
    query = Query(corpus_id="c", text="x", top_k=5, embedder="wordllama", shadow=name, fallback=("f",))
    prepared = await Shadowed("own", own, shadows).prepare(it.tenant, query)
    assert (own.asked[0].shadow, own.asked[0].fallback) == (None, ("f",))
    engine.gate.clear()
    async with services.db.tenant(it.tenant, "read") as tx:
        await prepared.passages(tx, Everything())
    started = time.monotonic()
    await shadows.tasks.finish()
    assert 0.15 < time.monotonic() - started < 10
    lines = await counted(it, name, 'outcome="failed"')
    assert any('retriever="own"' in line for line in lines)


async def test_a_platform_that_stops_lets_its_shadows_end(api):
    async with api() as it:
        engine = it.engine("d1")
        _, owner = await shadowed(it, engine)
        engine.gate.clear()
        await it.passages(owner, "secret text")
        async with asyncio.timeout(5):
            await engine.called.wait()
        asyncio.get_running_loop().call_later(0.3, engine.gate.set)
        assert engine.reads == 0
    assert engine.reads == 1


async def test_a_shadow_is_validated_like_the_provider(it):
    key = await it.key("ann")
    it.offer("strict", it.engine(), Options)
    made = await it.corpus(key)
    path = ["body", "provider_config_json", "retrieval"]
    for retrieval, loc in (
        ({"shadow": "strct"}, [*path, "shadow"]),
        ({"shadow": 5}, [*path, "shadow"]),
        ({"shadow": "strict", "shadow_options": {"indx": "i"}}, [*path, "shadow_options", "indx"]),
        ({"shadow": "strict", "shadow_options": {"index": 5}}, [*path, "shadow_options", "index"]),
        ({"shadow": "strict", "shadow_options": []}, [*path, "shadow_options"]),
        ({"shadow_options": {"index": "i"}}, [*path, "shadow_options"]),
    ):
        config = {"provider_config_json": {"retrieval": retrieval}}
        answer = await it.app.call("PATCH", "/v1/corpora/c", key, json=config)
        assert (answer.status, answer.code) == (422, "REQUEST_VALIDATION_ERROR"), retrieval
        assert answer.body["error"]["details"]["errors"][0]["loc"] == loc, answer.text
    assert (await it.app.call("GET", "/v1/corpora/c", key)).data == made
    own = {"shadow": "local_pgvector", "shadow_options": {"lexical_weight": 0.5}}
    config = {"provider_config_json": {"retrieval": own}}
    assert (await it.app.call("PATCH", "/v1/corpora/c", key, json=config)).status == 200


async def test_overlap_is_the_share_of_the_larger_answer():
    ab, bc = frozenset("ab"), frozenset("bcd")
    assert overlap(ab, bc) == pytest.approx(1 / 3)
    assert overlap(frozenset(), frozenset()) == 1.0
    assert overlap(ab, frozenset()) == 0.0
