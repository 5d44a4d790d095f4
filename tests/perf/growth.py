"""``POST /v1/retrieve`` as one tenant's corpus grows: ``python tests/perf/growth.py [CHUNKS…]``.

Texts of 70 words that are drawn as words are in a language (Zipf), a chunk a document, questions of 6 to 12 words of
them, asked by a user who may read everything and by one who may read a hundredth. The index is filled by SQL, vectors
by the embedder, so that a large corpus takes minutes.
"""

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import aiohttp
import asyncpg
from processes import Server, ragwork
from ragwork_pgvector.statistics import count
from ragwork_pgvector.terms import Postings
from ragwork_pgvector.vectors import packed, register_codecs
from ragwork_wordllama.encoder import WordllamaEncoder

TENANT, CORPUS, BATCH = "t1", "c", 5_000
ALL, FEW = "all", "few"
WORDS_A_CHUNK, VOCABULARY, QUESTIONS = 70, 50_000, 100
SYLLABLES = (
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "la",
    "me",
    "ni",
    "po",
    "ru",
    "sta",
    "tre",
    "vil",
    "zon",
    "kor",
    "han",
)
FAST = {"LLM_PROVIDER": "fake", "EMBEDDING_PROVIDER": "wordllama"}
VECTORS = "pgvector.vectors_256"


def words() -> Sequence[str]:
    draw = random.Random(1)  # seeded: every run fills the same
    return list(
        dict.fromkeys("".join(draw.choices(SYLLABLES, k=draw.randint(2, 4))) for _ in range(VOCABULARY))
    )


def texts(start: int, count: int, vocabulary: Sequence[str]) -> Iterator[str]:
    """As frequent as 1/rank."""
    sums = [0.0]
    for rank in range(1, len(vocabulary) + 1):
        sums.append(sums[-1] + 1 / rank)
    for number in range(start, start + count):
        draw = random.Random(f"text {number}")
        yield " ".join(draw.choices(vocabulary, cum_weights=sums[1:], k=WORDS_A_CHUNK))


async def fill(dsn: str, start: int, end: int) -> None:
    """Chunks ``start`` to ``end``, each a document that ``ALL`` may read, one in a hundred ``FEW``, too."""
    vocabulary = words()
    encoder = WordllamaEncoder()
    connection = await asyncpg.connect(dsn)
    await register_codecs(connection)
    await connection.execute("SELECT set_config('ragwork.tenant', $1, false)", TENANT)
    for first in range(start, end, BATCH):
        await _batch(connection, encoder, first, list(texts(first, min(BATCH, end - first), vocabulary)))
    async with connection.transaction():
        await count(connection, CORPUS)  # type: ignore[arg-type]  # a connection does what a transaction does
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


async def _batch(
    connection: "asyncpg.Connection[asyncpg.Record]", encoder: WordllamaEncoder, first: int, said: list[str]
) -> None:
    made = Postings.of(enumerate(said), "en")
    vectors = encoder.vectors(said)
    numbers = list(range(len(said)))
    async with connection.transaction():
        await connection.execute(
            """INSERT INTO pgvector.documents (tenant_id, document_id, generation, corpus_id, version, source, owner,
                embedder, dimension, metadata, labels, language, analyser, analysis, chunks, terms)
            SELECT ragwork.tenant(), 'd' || ($1 + n), $1 + n + 1000, $2, 1, '', 'bench',
                'wordllama', 256, '{}', '{}', 'en', 'en', 1, 1, $4
            FROM unnest($3::integer[]) AS n""",
            first, CORPUS, numbers, WORDS_A_CHUNK,
        )  # fmt: skip
        await connection.execute(
            """INSERT INTO pgvector.readers (tenant_id, document_id, reader)
            SELECT ragwork.tenant(), 'd' || ($1 + n), 'user:' || name
            FROM unnest($2::integer[]) AS n, unnest($3::text[]) WITH ORDINALITY AS u (name, place)
            WHERE place = 1 OR n % 100 = 0""",
            first, numbers, [ALL, FEW],
        )  # fmt: skip
        await connection.execute(
            """INSERT INTO pgvector.chunks
                (tenant_id, generation, ordinal, chunk_id, digest, start_offset, end_offset, text)
            SELECT ragwork.tenant(), $1 + n + 1000, 0, 'c' || ($1 + n), md5(t), 0, length(t), t
            FROM unnest($2::integer[], $3::text[]) AS c (n, t)""",
            first, numbers, said,
        )  # fmt: skip
        await connection.execute(
            f"""INSERT INTO {VECTORS} (tenant_id, generation, ordinal, embedding)
            SELECT ragwork.tenant(), $1 + n + 1000, 0, v
            FROM unnest($2::integer[], $3::public.halfvec[]) AS c (n, v)""",
            first, numbers, [packed(vector) for vector in vectors],
        )  # fmt: skip
        await connection.execute(
            """INSERT INTO pgvector.postings (tenant_id, term, generation, ordinal, length, frequency)
            SELECT ragwork.tenant(), pgvector.term($2, t), $1 + n + 1000, 0, $6, f
            FROM unnest($3::integer[], $4::text[], $5::integer[]) AS c (n, t, f)""",
            first, CORPUS, made.ordinals, made.terms, made.frequencies, WORDS_A_CHUNK,
        )  # fmt: skip


def questions() -> list[str]:
    vocabulary = words()
    sums, total = [], 0.0
    for rank in range(1, len(vocabulary) + 1):
        total += 1 / rank
        sums.append(total)
    draw = random.Random("questions")
    return [
        " ".join(draw.choices(vocabulary, cum_weights=sums, k=draw.randint(6, 12))) for _ in range(QUESTIONS)
    ]


async def ask(server: Server, key: str) -> list[float]:
    """Milliseconds of each question, sorted; asked one after the other."""
    taken = []
    async with aiohttp.ClientSession(server.base, headers={"Authorization": f"Bearer {key}"}) as session:
        for number, question in enumerate(questions()[:10] + questions()):
            body = {"corpus_id": CORPUS, "query": question, "top_k": 10}
            started = time.perf_counter()
            async with session.post("/v1/retrieve", json=body) as response:
                answer = await response.json()
                assert response.status == 200, answer
                assert len(answer["data"]["passages"]) == 10
            if number >= 10:  # the first ones warm up
                taken.append((time.perf_counter() - started) * 1000)
    return sorted(taken)


def measure(folder: Path, sizes: Sequence[int] = (10_000, 40_000, 160_000)) -> None:
    """Fill a corpus to each of ``sizes`` and ask."""
    with ragwork(folder / "data", **FAST) as server:
        keys = {user: server.key(TENANT, "reader", user) for user in (ALL, FEW)}
        server.command(
            "ingest", "--tenant", TENANT, "--corpus", CORPUS, str(Path(__file__).parents[2] / "README.md")
        )
        owner = server.command("dsn", "--owner").strip()
        before = 0
        for chunks in sorted(sizes):
            asyncio.run(fill(owner, before, chunks))
            before = chunks
            for user, key in keys.items():
                taken = asyncio.run(ask(server, key))
                p50, p95 = statistics.median(taken), taken[int(len(taken) * 0.95)]
                print(f"{chunks:>9,} chunks, {user}: p50 {p50:.1f} ms, p95 {p95:.1f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Retrieval as a corpus grows")
    parser.add_argument("chunks", nargs="*", type=int, default=[10_000, 40_000, 160_000])
    parser.add_argument("--data-dir", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(asked.data_dir or Path(name), asked.chunks)


if __name__ == "__main__":
    main()
