"""Words are found in every language, and documents of an older analyser are read anew."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import attrs
import pytest
from ragwork_hooks.retrieval import IndexedDocument
from ragwork_hooks.services import Services
from ragwork_pgvector.reanalysis import Reanalysis
from ragwork_testkit.bench import TENANT
from ragwork_testkit.retrieval import Bench
from ragwork_toolkit.text.analysers import VERSION

TEXTS = {
    "en": "The gates of the harbour were closed in winter.",
    "de": "Die Tore des Hafens waren im Winter geschlossen.",
    "ru": "Ворота гавани закрыты зимой.",
    "ar": "أغلقت أبواب الميناء في الشتاء.",
    "hi": "सर्दियों में बंदरगाह के दरवाज़े बंद थे।",
    "zh": "冬天港口的大门关闭了。",
    "th": "ประตูท่าเรือปิดในฤดูหนาว",
    "tr": "Limanın kapıları kışın kapalıydı.",
}
QUESTIONS = {
    "en": "When does a harbour close its gate?",
    "de": "Wann schließt der Hafen das Tor?",
    "ru": "Когда закрывают гавань?",
    "ar": "متى يغلق الميناء؟",
    "hi": "बंदरगाह कब बंद था?",
    "zh": "港口什么时候关门？",
    "th": "ท่าเรือปิดเมื่อไร",
    "tr": "Liman ne zaman kapalı?",
}


def written(bench: Bench, language: str, *texts: str, name: str = "") -> IndexedDocument:
    return attrs.evolve(bench.document(name or language, *texts), language=language)


@pytest.mark.parametrize("language", TEXTS)
async def test_a_question_finds_the_document_of_its_language_among_others(
    bench: Bench, language: str
) -> None:
    bench.embedder.languages = frozenset()  # type: ignore[misc,assignment]
    await bench.add(*(written(bench, each, text) for each, text in TEXTS.items()))
    assert (await bench.find(QUESTIONS[language]))[0].document_id == language


async def test_stop_words_are_found_when_a_question_has_nothing_else(bench: Bench) -> None:
    await bench.add(
        written(bench, "en", "To be, or not to be: that is the question.", name="hamlet"),
        written(bench, "en", "Tides turn twice daily.", name="tides"),
    )
    assert (await bench.find("to be or not to be"))[0].document_id == "hamlet"


async def test_vectors_that_say_nothing_of_a_language_do_not_outvote_its_words(bench: Bench) -> None:
    bench.embedder.languages = frozenset({"en"})  # type: ignore[misc,assignment]
    right, near = written(bench, "zh", TEXTS["zh"], name="right"), written(bench, "zh", "潮汐", name="near")
    question = bench.embedder.vector("港口")
    chunk = attrs.evolve(near.chunks[0], vector=question)
    await bench.add(right, attrs.evolve(near, chunks=[chunk]))
    assert (await bench.find("港口"))[0].document_id == "right"


def over(bench: Bench, tenants: Sequence[str]) -> Reanalysis:
    async def listed() -> Sequence[str]:
        return tenants

    directory = SimpleNamespace(tenants=listed)
    return Reanalysis(cast("Services", SimpleNamespace(db=bench.database, use=lambda _: directory)))


async def make_old(bench: Bench, tenant: str) -> None:
    """As documents stood before there were analysers: English stems of the words, which Chinese has none of."""
    async with bench.database.tenant(tenant) as tx:
        await tx.execute("UPDATE pgvector.documents SET analysis = 0, analyser = 'en', language = 'en'")
        await tx.execute("DELETE FROM pgvector.postings")


async def state(bench: Bench, tenant: str) -> Any:
    async with bench.database.tenant(tenant, "read") as tx:
        documents = await tx.fetch(
            "SELECT document_id, language, analyser, analysis, terms FROM pgvector.documents ORDER BY 1"
        )
        postings = await tx.fetch(
            "SELECT term, ordinal, length, frequency FROM pgvector.postings ORDER BY 1, 2"
        )
        return [tuple(row.values()) for row in documents], [tuple(row.values()) for row in postings]


async def test_reanalysis_leaves_what_ingestion_writes(bench: Bench) -> None:
    for tenant in (TENANT, "t2"):
        await bench.add(*(written(bench, each, text) for each, text in TEXTS.items()), tenant=tenant)
    made = await state(bench, TENANT)
    for tenant in (TENANT, "t2"):
        await make_old(bench, tenant)
    assert await over(bench, [TENANT, "t2"]).run() == 2 * len(TEXTS)
    assert await state(bench, TENANT) == await state(bench, "t2") == made
    assert {row[3] for row in made[0]} == {VERSION}
    assert await over(bench, [TENANT, "t2"]).run() == 0


async def test_reanalysis_beside_writers_leaves_each_document_whole(bench: Bench) -> None:
    documents = [
        written(bench, "en", *(f"tide {n} gate {i}" for i in range(20)), name=f"d{n}") for n in range(20)
    ]
    await bench.add(*documents)
    await make_old(bench, TENANT)
    await asyncio.gather(
        over(bench, [TENANT]).run(), over(bench, [TENANT]).run(), *(bench.add(each) for each in documents)
    )
    async with bench.database.tenant(TENANT, "read") as tx:
        assert await tx.fetchval("SELECT bool_and(analysis = $1) FROM pgvector.documents", VERSION)
        assert await tx.fetchval("SELECT count(*) FROM pgvector.postings") == 20 * (20 * 4 - 1)
