"""``make bench``: the figures of docs/performance.md, each section by name.

Ratios are ours ÷ bare aiohttp, measured in turn in one sitting; absolute times move with the machine.
"""

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cranfield
import load
import scale
from processes import Server, ragwork, reference

ROUNDS = 3
FAST = {"LLM_PROVIDER": "fake", "EMBEDDING_PROVIDER": "wordllama"}


def say(what: str, figure: str, floor: str, aim: str) -> None:
    print(f"{what:<62} {figure:<28} floor {floor:<10} aim {aim}", flush=True)


def ratio(server: Server, base: str, key: str, shot: load.Shot, count: int) -> str:
    """Median of paired ratios with lowest and highest."""
    pairs = []
    for _ in range(ROUNDS):
        ours = asyncio.run(load.measure(server.base, key, shot, 8, count))
        bare = asyncio.run(load.measure(base, key, shot, 8, count))
        pairs.append((ours.rps / bare.rps, ours.rps, bare.rps))
    pairs.sort()
    middle = pairs[len(pairs) // 2]
    return f"{middle[0]:.2f} ({pairs[0][0]:.2f}-{pairs[-1][0]:.2f}; {middle[1]:.0f}/{middle[2]:.0f} per s)"


def requests(folder: Path) -> None:
    """Throughput ratios and first tokens, static embedder and MiniLM."""
    with reference() as base:
        with ragwork(folder / "fast", **FAST) as server:
            server.command("seed", "--tenant", "t1")
            key = server.key("t1")
            say(
                "GET /v1/corpora, c=8, ÷ bare JSON",
                ratio(server, base, key, load.corpora, 2000),
                "0.15",
                "0.25",
            )
            say(
                "POST /v1/run, fake + wordllama, c=8, ÷ bare SSE",
                ratio(server, base, key, load.run, 400),
                "0.25",
                "0.35",
            )
            first = asyncio.run(load.measure(server.base, key, load.run, 1, 150))
            say("first token, c=1, p50, wordllama", f"{first.first_token_p50:.1f} ms", "12 ms", "6 ms")
        with ragwork(folder / "minilm", LLM_PROVIDER="fake") as server:
            server.command("seed", "--tenant", "t1")
            key = server.key("t1")
            say(
                "POST /v1/run, fake + minilm, c=8, ÷ bare SSE",
                ratio(server, base, key, load.run, 400),
                "0.12",
                "0.20",
            )
            first = asyncio.run(load.measure(server.base, key, load.run, 1, 150))
            say("first token, c=1, p50, minilm", f"{first.first_token_p50:.1f} ms", "25 ms", "12 ms")


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
}


def main() -> None:
    wanted = sys.argv[1:] or list(SECTIONS)
    for name in wanted:
        with tempfile.TemporaryDirectory() as folder:
            SECTIONS[name](Path(folder))


if __name__ == "__main__":
    main()
