"""``ragwork smoke``: the corpus' own provider, within rights, with a way out when it fails."""

import json
import uuid

import pytest
from ragwork_documents.permissions.permission_recheck import SPARE
from ragwork_documents.search.retrieval_check import fix_for
from ragwork_hooks.errors import ProviderError

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def smoke(it, **options):
    return await it.app.command("smoke", tenant=it.tenant, corpus="c", query="secret text", **options)


async def failed(it, **options):
    """What a smoke that ends with 1 says."""
    with pytest.raises(RuntimeError, match="ended with 1") as error:
        await smoke(it, **options)
    return str(error.value)


async def test_smoke_reports_what_the_whole_tenant_may_read_or_one_user(it):
    owner, admin = await it.key("ann"), await it.key("root", "admin")
    await it.corpus(owner)
    await it.indexed(owner, "secret text one", "mine", filename="mine.md")
    await it.indexed(owner, "secret text two", "open")
    await it.indexed(owner, "secret text three", "readers")
    await it.grant(admin, "open", "tenant", it.tenant)
    await it.grant(admin, "readers", "role", "reader")
    (told,) = (await smoke(it)).results
    assert (told["provider"], told["passages"], told["rechecked"]) == ("local_pgvector", 1, False)
    assert [best["document_id"] for best in told["best"]] == ["open"]
    assert 0 < told["best"][0]["score"] <= 1
    assert told["latency_ms"] > 0
    said = (await smoke(it, user="ann")).said[-1]
    assert "provider local_pgvector: 3 passages in" in said
    assert "mine.md" in said
    assert (await smoke(it, user="ann", top_k="1")).results[0]["passages"] == 1


async def test_smoke_counts_what_the_recheck_dropped_and_shows_no_control_characters(it):
    owner, admin = await it.key("ann"), await it.key("root", "admin")
    name = f"engine-{uuid.uuid4().hex[:8]}"
    engine = it.offer(name, it.engine("open", "mine", "deleted\x1b[2J"))
    await it.corpus(owner, config={"retrieval": {"provider": name, "fallback": ["local_pgvector"]}})
    await it.indexed(owner, "secret text", "mine")
    await it.indexed(owner, "secret text", "open")
    await it.grant(admin, "open", "tenant", it.tenant)
    console = await smoke(it, top_k="3")
    (told,) = console.results
    assert (told["passages"], told["rechecked"], told["dropped"]) == (1, True, 2)
    assert "2 dropped by the re-check" in console.said[-1]
    assert (engine.asked[0].top_k, engine.asked[0].fallback) == (3 + SPARE, ())
    engine.error = ProviderError("AWS_AUTH_ERROR", "the token\x1b[2J expired")
    said = await failed(it)
    assert "AWS_AUTH_ERROR: the token[2J expired" in json.loads(json.dumps(said))
    assert "check the provider's credentials" in said


async def test_smoke_names_a_missing_corpus_or_user_and_a_wrong_number(it):
    assert "NOT_FOUND" in await failed(it)
    await it.corpus(await it.key("ann"))
    assert "NOT_FOUND" in await failed(it, user="nobody")
    for wrong in ("0", "51", "x", "-1", "²"):
        with pytest.raises(ValueError, match="whole number from 1 to 50"):
            await smoke(it, top_k=wrong)


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("AWS_CONFIG_MISSING", "environment"),
        ("VERTEX_RETRIEVAL_CONFIG_MISSING", "environment"),
        ("VERTEX_RETRIEVAL_AUTH_ERROR", "credentials"),
        ("AWS_RETRIEVAL_ERROR", "name of the index"),
        ("INTEGRATION_UNAVAILABLE", "network"),
        ("RETRIEVAL_CONFIG_INVALID", "provider_config_json"),
    ],
)
async def test_every_code_has_a_fix(code, hint):
    assert hint in fix_for(code)
