"""``make bench``: the figures of docs/performance.md, each section by name.

Ratios are ours ÷ bare aiohttp, measured in turn in one sitting; absolute times move with the machine.
"""

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import attrs
import cranfield
import growth
import load
import one_by_one
import scale
from processes import Server, ragwork, reference

ROUNDS = 3
FAST = {"LLM_PROVIDER": "fake", "EMBEDDING_PROVIDER": "wordllama"}


def say(what: str, figure: str, floor: str, aim: str) -> None:
    print(f"{what:<62} {figure:<28} floor {floor:<10} aim {aim}", flush=True)


def ratio(server: Server, key: str, shot: load.Shot, base: str, bare: load.Shot, count: int) -> str:
    """Median of paired ratios with lowest and highest."""
    pairs = []
    for _ in range(ROUNDS):
        ours = load.measured(server.base, key, shot, 8, count)
        theirs = load.measured(base, key, bare, 8, count)
        pairs.append((ours.rps / theirs.rps, ours.rps, theirs.rps))
    pairs.sort()
    middle = pairs[len(pairs) // 2]
    return f"{middle[0]:.2f} ({pairs[0][0]:.2f}-{pairs[-1][0]:.2f}; {middle[1]:.0f}/{middle[2]:.0f} per s)"


def requests(folder: Path) -> None:
    """Throughput ratios, first tokens, ingestion and memory, with the static embedder and with MiniLM."""
    for embedder, floors, aims in (
        ("wordllama", ("0.20", "6 ms", "120"), ("0.30", "4 ms", "200")),
        ("minilm", ("0.14", "9 ms", "24"), ("0.20", "7 ms", "30")),
    ):
        with ragwork(folder / embedder, LLM_PROVIDER="fake", EMBEDDING_PROVIDER=embedder) as server:
            server.command("seed", "--tenant", "t1")
            key = server.key("t1")
            with reference(server.command("dsn").strip(), "t1") as base:
                if embedder == "wordllama":
                    reads(server, key, base)
                figure = ratio(server, key, load.RUN, base, load.RUN, 400)
            say(f"POST /v1/run, fake + {embedder}, c=8, ÷ bare SSE", figure, floors[0], aims[0])
            first = load.measured(server.base, key, load.RUN, 1, 150)
            say(f"first token, c=1, p50, {embedder}", f"{first.first_token_p50:.1f} ms", floors[1], aims[1])
            processor_time(server, key)
            rate = asyncio.run(one_by_one.ingest(server, key))
            say(
                f"{one_by_one.DOCUMENTS} documents one by one, {embedder}",
                f"{rate:.0f} docs/s",
                floors[2],
                aims[2],
            )
            if embedder == "wordllama":
                listing = load.measured(server.base, key, one_by_one.LISTING, 8, 1000)
                say("GET /v1/documents?limit=100, c=8", f"{listing.rps:.0f} per s", "700", "1200")
            say(f"RSS after load, {embedder}", f"{server.rss_mb():.0f} MB", "240 MB", "200 MB")


def reads(server: Server, key: str, base: str) -> None:
    """A list of one corpus, beside servers that do nothing else."""
    bound = attrs.evolve(load.CORPORA, path="/v1/tenant/corpora")
    for what, bare, floor, aim in (
        ("a bare transaction bound to the tenant", bound, "0.45", "0.65"),
        ("bare JSON", load.CORPORA, "0.15", "0.25"),
    ):
        figure = ratio(server, key, load.CORPORA, base, bare, 2000)
        say(f"GET /v1/corpora, c=8, ÷ {what}", figure, floor, aim)


def processor_time(server: Server, key: str) -> None:
    """What a run takes of the server and of its database."""
    before = server.cpu_s(), server.postgres_cpu_s()
    runs = 400
    load.measured(server.base, key, load.RUN, 8, runs)
    total = runs + runs // 10
    ours, postgres = (
        1000 * (now - then) / total
        for now, then in zip((server.cpu_s(), server.postgres_cpu_s()), before, strict=True)
    )
    say(
        "processor time a run, server / Postgres",
        f"{ours:.1f} / {postgres:.1f} ms",
        "- / 2.5 ms",
        "- / 1.5 ms",
    )


def start(folder: Path) -> None:
    """Cold start on a new data directory, warm start, and idle memory with the default plugins."""
    cold, warm, memory = [], [], []
    for number in range(ROUNDS):
        with ragwork(folder / f"cold{number}") as server:
            cold.append(server.ready_s)
        with ragwork(folder / f"cold{number}") as server:
            warm.append(server.ready_s)
            asyncio.run(asyncio.sleep(8))
            memory.append(server.rss_mb())
    say("start to first 200, new data directory", f"{statistics.median(cold):.2f} s", "6 s", "2 s")
    say("start to first 200, existing data directory", f"{statistics.median(warm):.2f} s", "6 s", "2 s")
    say("RSS idle, default plugins, warmed", f"{statistics.median(memory):.0f} MB", "350 MB", "250 MB")


def collection(folder: Path) -> None:
    """Quality and bulk ingest on Cranfield, when it lies beside the project."""
    if not cranfield.available():
        print(
            "Cranfield is not beside the project (../shared/data/cranfield): quality and bulk ingest are skipped"
        )
        return
    for name, floor, aim in (("minilm", "8", "18"), ("wordllama", "100", "250")):
        with ragwork(folder / f"cran-{name}", EMBEDDING_PROVIDER=name) as server:
            rate = cranfield.ingest(server, folder)
            say(f"bulk ingest, Cranfield, {name}", f"{rate:.0f} docs/s", floor, aim)
            key = server.key(cranfield.TENANT, "reader")
            mean, low, high = asyncio.run(cranfield.quality(server, key))
            wanted = ("0.42", "0.44") if name == "minilm" else ("-", "-")
            say(f"nDCG@10, Cranfield, {name}", f"{mean:.3f} (95 %: {low:.3f}-{high:.3f})", *wanted)


SECTIONS: dict[str, Callable[[Path], None]] = {
    "start": start,
    "requests": requests,
    "cranfield": collection,
    "scale": scale.measure,
    "growth": growth.measure,
}


def main() -> None:
    wanted = sys.argv[1:] or list(SECTIONS)
    for name in wanted:
        with tempfile.TemporaryDirectory() as folder:
            SECTIONS[name](Path(folder))


if __name__ == "__main__":
    main()
