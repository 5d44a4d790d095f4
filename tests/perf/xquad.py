"""Languages and answers on XQuAD, through the product's own command line and API.

    python tests/perf/xquad.py retrieval [LANGUAGE…]     the right paragraph among the first five of /v1/retrieve
    python tests/perf/xquad.py answers [LANGUAGE…]       what /v1/run says to the questions, and to some of other texts

``--embedder NAME`` takes another than the default, of a plugin that is enabled or called so; ``--questions N`` asks
about N of each language, evenly spread. Other settings of the server come from the environment.
"""

import argparse
import asyncio
import json
import re
import statistics
import tempfile
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import aiohttp
import attrs
from processes import Server, ragwork

DATA = Path(__file__).parents[3] / "shared" / "data" / "xquad"
TENANT, CLIENTS = "xquad", 4
LANGUAGES = ("en-half", "el", "ro", "th", "tr", "vi")


@attrs.frozen(kw_only=True)
class Asked:
    """A question, its answers, and the paragraph that holds them."""

    text: str
    answers: Sequence[str]
    document_id: str


@attrs.frozen(kw_only=True)
class Collection:
    """The paragraphs of one language by id, and the questions to them."""

    language: str
    paragraphs: dict[str, str]
    questions: Sequence[Asked]


def read(language: str) -> Collection:
    articles = json.loads((DATA / f"xquad.{language}.json").read_text())["data"]
    paragraphs, questions = {}, []
    for number, paragraph in enumerate(p for article in articles for p in article["paragraphs"]):
        document_id = f"p{number}"
        paragraphs[document_id] = paragraph["context"].lstrip("\ufeff")
        questions += [
            Asked(text=qa["question"], answers=[a["text"] for a in qa["answers"]], document_id=document_id)
            for qa in paragraph["qas"]
        ]
    return Collection(language=language, paragraphs=paragraphs, questions=questions)


def ingest(server: Server, collection: Collection, folder: Path) -> None:
    path = folder / f"{collection.language}.jsonl"
    with path.open("w") as file:
        for document_id, text in collection.paragraphs.items():
            file.write(
                json.dumps({"document_id": f"{collection.language}-{document_id}", "text": text}) + "\n"
            )
    server.command("ingest", "--tenant", TENANT, "--corpus", collection.language, "--jsonl", str(path))


async def each(
    server: Server,
    questions: Sequence[Asked],
    ask: Callable[[aiohttp.ClientSession, int, Asked], Awaitable[None]],
) -> None:
    """Ask all, a few at a time."""
    headers = {"Authorization": f"Bearer {server.key(TENANT)}"}
    gate = asyncio.Semaphore(CLIENTS)
    async with aiohttp.ClientSession(server.base, headers=headers) as session:

        async def one(number: int, question: Asked) -> None:
            async with gate:
                await ask(session, number, question)

        await asyncio.gather(*(one(number, question) for number, question in enumerate(questions)))


async def retrieval(server: Server, collection: Collection) -> None:
    ranks: list[int] = []

    async def ask(session: aiohttp.ClientSession, _number: int, question: Asked) -> None:
        body = {"corpus_id": collection.language, "query": question.text, "top_k": 10, "distinct": "document"}
        async with session.post("/v1/retrieve", json=body) as response:
            answer = await response.json()
            assert response.status == 200, answer
        found = [passage["document_id"] for passage in answer["data"]["passages"]]
        wanted = f"{collection.language}-{question.document_id}"
        ranks.append(found.index(wanted) if wanted in found else 99)

    await each(server, collection.questions, ask)
    first, five = (statistics.mean(rank < n for rank in ranks) for n in (1, 5))
    print(
        f"{collection.language}: right passage first {first:.3f}, among five {five:.3f}, of {len(ranks)} questions"
    )


@attrs.define
class Tally:
    """What became of the questions."""

    asked: int = 0
    refused: int = 0
    held: int = 0
    cited: int = 0
    words: list[int] = attrs.field(factory=list)


async def answers(server: Server, collection: Collection) -> None:
    """To questions about the paragraphs that were ingested, and about the others; what goes wrong is in a file."""
    wrong: list[str] = []

    def asking(tally: Tally, prefix: str) -> Callable[[aiohttp.ClientSession, int, Asked], Awaitable[None]]:
        async def ask(session: aiohttp.ClientSession, number: int, question: Asked) -> None:
            body = {
                "session_id": f"{prefix}{number}",
                "corpus_id": collection.language,
                "message": question.text,
            }
            text, citations = await run(session, body)
            tally.asked += 1
            if not citations:
                tally.refused += 1
            said = plain(text)
            held = any(plain(answer) in said for answer in question.answers)
            tally.held += held
            tally.cited += f"{collection.language}-{question.document_id}" in citations
            tally.words.append(len(text.split()))
            if not held:
                wrong.append(f"{question.text}\n   wanted: {question.answers[0]}\n   got: {text!r}\n")

        return ask

    present = [q for q in collection.questions if q.document_id in collection.paragraphs]
    tally = Tally()
    await each(server, present, asking(tally, "a"))
    print(
        f"{collection.language}: of {tally.asked} holds {tally.held / tally.asked:.3f}, cites the passage"
        f" {tally.cited / tally.asked:.3f}, refuses {tally.refused / tally.asked:.3f},"
        f" words {statistics.mean(tally.words):.1f}"
    )
    log = Path(tempfile.gettempdir(), f"xquad-wrong-{collection.language}.txt")
    await asyncio.to_thread(log.write_text, "\n".join(wrong))
    absent = [q for q in collection.questions if q.document_id not in collection.paragraphs]
    if absent:
        tally = Tally()
        await each(server, absent, asking(tally, "b"))
        print(
            f"{collection.language}: of {tally.asked} that it lacks refuses {tally.refused / tally.asked:.3f}"
        )


async def run(session: aiohttp.ClientSession, body: dict[str, object]) -> tuple[str, set[str]]:
    """The answer's text, and the documents that it cites."""
    async with session.post("/v1/run", json=body) as response:
        assert response.status == 200, await response.text()
        raw = (await response.read()).decode()
    for block in raw.split("\n\n"):
        data = next((line[5:] for line in block.splitlines() if line.startswith("data:")), "{}")
        event = json.loads(data)
        if event.get("type") == "message.final":
            final = event["data"]
            return final["text"], {citation["document_id"] for citation in final["citations"]}
    return "", set()


def plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.sub(r"\[\d+\]|[^\w\s]", " ", folded).split())


def halved(collection: Collection) -> Collection:
    """Without a quarter of the paragraphs, an article's at a time: what those answer is lacking."""
    kept = {k: v for n, (k, v) in enumerate(collection.paragraphs.items()) if n % 20 < 15}
    return attrs.evolve(collection, paragraphs=kept)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Languages and answers on XQuAD")
    parser.add_argument("what", choices=("retrieval", "answers"))
    parser.add_argument("languages", nargs="*", default=LANGUAGES)
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--questions", type=int, default=None)
    return parser.parse_args()


def main() -> None:
    asked = options()
    if not DATA.exists():
        print("XQuAD is not beside the project (../shared/data/xquad): nothing is measured")
        return
    settings = {"EMBEDDING_PROVIDER": asked.embedder, "RAGWORK_PLUGINS_ADD": asked.embedder}
    with (
        tempfile.TemporaryDirectory() as name,
        ragwork(Path(name) / "data", **settings) as server,
    ):
        for language in asked.languages:
            collection = read(language)
            if asked.what == "answers":
                collection = halved(collection)
            ingest(server, collection, Path(name))
            step = max(1, len(collection.questions) // (asked.questions or len(collection.questions)))
            collection = attrs.evolve(collection, questions=collection.questions[::step])
            asyncio.run({"retrieval": retrieval, "answers": answers}[asked.what](server, collection))


if __name__ == "__main__":
    main()
