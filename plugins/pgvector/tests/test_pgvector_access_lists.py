"""Access lists follow from the readers, whoever writes those, and end with the last document that has one."""

import asyncio
import random

from ragwork_pgvector.statistics import CorpusCounting
from ragwork_testkit.retrieval import TENANT, Bench

READERS = ["user:a", "user:b", "group:c", "tenant:t1"]
ENDS = [None, "2001-01-01T00:00:00+00:00", "2901-01-01T00:00:00+00:00"]
#: Documents whose list does not say what their readers say.
ASTRAY = """
SELECT d.document_id FROM pgvector.documents d
WHERE coalesce((SELECT jsonb_object_agg(r.reader, r.expires_at) FROM pgvector.readers r
        WHERE r.document_id = d.document_id), '{}')
    <> coalesce((SELECT jsonb_object_agg(l.reader, l.expires_at) FROM pgvector.access_lists l
        WHERE l.access_list = d.access_list), '{}')
"""


async def astray(bench: Bench) -> list[str]:
    async with bench.database.tenant(TENANT, "read") as tx:
        return [row["document_id"] for row in await tx.fetch(ASTRAY)]


def some_readers(draw: random.Random) -> dict[str, str | None]:
    return {reader: draw.choice(ENDS) for reader in draw.sample(READERS, draw.randint(0, len(READERS)))}


async def test_lists_say_what_readers_say_after_any_change(bench: Bench) -> None:
    draw = random.Random(1)
    # What a document's readers were set to, also before it was there.
    said: dict[str, dict[str, str | None]] = {}
    for _ in range(120):
        document_id = f"d{draw.randint(0, 5)}"
        async with bench.database.tenant(TENANT) as tx:
            match draw.choice(("replace", "readers", "delete", "by hand")):
                case "replace":
                    readers = draw.choice((said.get(document_id, {}), some_readers(draw)))
                    await bench.index.replace(tx, bench.document(document_id, "tide", readers=readers))
                case "readers":
                    said[document_id] = some_readers(draw)
                    await bench.index.set_readers(tx, document_id, said[document_id])
                case "delete":
                    await bench.index.delete(tx, [document_id])
                case _:  # as a server of another release would
                    await tx.execute(
                        "UPDATE pgvector.readers SET expires_at = now() + interval '1 day' WHERE reader = $1",
                        draw.choice(READERS),
                    )
        assert await astray(bench) == []


async def lists(bench: Bench) -> int:
    async with bench.database.tenant(TENANT, "read") as tx:
        number: int = await tx.fetchval("SELECT count(DISTINCT access_list) FROM pgvector.access_lists")
        return number


async def test_a_list_that_no_document_has_is_forgotten_and_none_that_is_taken_up_meanwhile(
    bench: Bench, counting: CorpusCounting
) -> None:
    await bench.add(bench.document("a", "tide", readers={"user:a": None}))
    await bench.add(bench.document("b", "tide", readers={"user:b": None}))
    async with bench.database.tenant(TENANT) as tx:
        await bench.index.delete(tx, ["b"])
    assert await lists(bench) == 2
    await counting.run()
    assert await lists(bench) == 1

    async def regrant(number: int) -> None:
        for turn in range(30):
            async with bench.database.tenant(TENANT) as tx:
                await bench.index.set_readers(tx, "a", {f"user:{number if turn % 2 else 'a'}": None})

    async def forget() -> None:
        for _ in range(30):
            await counting.run()

    await asyncio.gather(regrant(1), regrant(2), forget())
    assert await astray(bench) == []
