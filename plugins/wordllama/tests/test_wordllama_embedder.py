"""Vectors, placement of work, bounds and closing of the WordLlama embedder."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import cast

import pytest
from ragwork_hooks.errors import ConfigError, ProviderError
from ragwork_hooks.providers import NoOptions, Provider, ProviderContext
from ragwork_hooks.retrieval import Embedder
from ragwork_hooks.services import Services
from ragwork_hooks.shares import Shares, provider_busy
from ragwork_testkit.services import ProviderServices
from ragwork_wordllama import files
from ragwork_wordllama.embedder import INLINE_CHARACTERS, Vectors, WordllamaEmbedder
from ragwork_wordllama.encoder import WordllamaEncoder

TEXTS = ["lift", "What is the effect of a blunt nose?", "The shock stands off. " * 40, "超音速 \u03bc"]
REFERENCE = """
import json, os, sys
import wordllama
model = wordllama.WordLlama.load(cache_dir=os.path.dirname(wordllama.__file__), disable_download=True)
print(json.dumps(model.embed(json.loads(sys.argv[1]), norm=True).tolist()))
"""


@pytest.fixture(scope="module")
def encoder() -> WordllamaEncoder:
    return WordllamaEncoder()


def places(waiting: int = 1_000) -> Shares:
    return ProviderServices().shares("test", 1, waiting=waiting, refusal=provider_busy)


class Work:
    """Stands where the table does: notes the thread, and waits until it is let through."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.threads: list[str] = []
        self.gate = threading.Event()
        self.started = threading.Event()

    def __call__(self, texts: Sequence[str]) -> Vectors:
        self.started.set()
        assert self.gate.wait(5)
        self.seen += texts
        self.threads.append(threading.current_thread().name)
        return [[1.0] for _ in texts]

    async def under_way(self) -> None:
        assert await asyncio.to_thread(self.started.wait, 5)


def test_vectors_agree_with_the_package(encoder: WordllamaEncoder) -> None:
    command = [sys.executable, "-c", REFERENCE, json.dumps(TEXTS)]
    expected = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    for vector, wanted in zip(encoder.vectors(TEXTS), expected, strict=True):
        assert sum(x * y for x, y in zip(vector, wanted, strict=True)) == pytest.approx(1.0, abs=1e-5)


def test_the_package_is_never_imported(encoder: WordllamaEncoder) -> None:
    encoder.vectors(["lift"])
    assert "wordllama" not in sys.modules


async def test_a_short_query_stays_on_the_loop_and_other_work_leaves_it() -> None:
    work = Work()
    work.gate.set()
    embedder = WordllamaEmbedder(work, places(), places())
    for texts in (["short"], ["long" * INLINE_CHARACTERS], [""] * (WordllamaEmbedder.slice + 1)):
        await embedder.embed(texts, "query")
    await embedder.embed(["short"], "document")
    await embedder.aclose()
    assert [name.rpartition("_")[0] for name in work.threads] == [
        "",
        "wordllama-query",
        "wordllama-query",
        "wordllama-query",
        "wordllama-document",
    ]


async def test_slices_of_a_cancelled_call_are_never_run() -> None:
    work = Work()
    embedder = WordllamaEmbedder(work, places(), places())
    running = asyncio.create_task(embedder.embed(["running"], "document"))
    await work.under_way()
    cancelled = asyncio.create_task(embedder.embed(["cancelled"] * 100, "document"))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    work.gate.set()
    await running
    await embedder.embed(["after"], "document")
    await embedder.aclose()
    assert work.seen == ["running", "after"]


async def test_a_call_too_many_is_refused_as_retryable() -> None:
    work = Work()
    embedder = WordllamaEmbedder(work, places(), places(waiting=0))
    waiting = asyncio.create_task(embedder.embed(["waits"], "document"))
    await work.under_way()
    with pytest.raises(ProviderError) as refused:
        await embedder.embed(["too many"], "document")
    assert (refused.value.code, refused.value.retryable) == ("SERVICE_BUSY", True)
    work.gate.set()
    await waiting
    await embedder.aclose()


async def test_closing_ends_waiting_calls_with_an_error() -> None:
    work = Work()
    embedder = WordllamaEmbedder(work, places(), places())
    running = asyncio.create_task(embedder.embed(["running"], "document"))
    await work.under_way()
    waiting = asyncio.create_task(embedder.embed(["waits"], "document"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(embedder.aclose())
    await asyncio.sleep(0)
    work.gate.set()
    await closing
    assert await running == [[1.0]]
    for call in (waiting, embedder.embed(["late"], "query")):
        with pytest.raises(ProviderError, match="INTEGRATION_UNAVAILABLE"):
            await call


def test_another_file_under_the_same_name_is_refused() -> None:
    other = files.DataFile(path=files.TOKENIZER.path, sha256="0" * 64)
    with pytest.raises(ConfigError, match="that ragwork-wordllama asks for"):
        files.read(other)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match="no-such-file of wordllama is not installed"):
        files.read(files.DataFile(path="no-such-file", sha256=""))


async def test_the_entry_point_opens_the_embedder() -> None:
    (entry,) = entry_points(group="ragwork.embedding", name="wordllama")
    provider = cast("Provider[Embedder]", entry.load())
    embedder = await provider.open(
        ProviderContext(services=cast("Services", ProviderServices()), config=NoOptions())
    )
    (vector,) = await embedder.embed(["lift"], "query")
    await embedder.aclose()
    assert (provider.name, embedder.name, len(vector)) == ("wordllama", "wordllama", embedder.dimension)


def test_declaring_the_plugin_imports_no_heavy_library() -> None:
    script = (
        "import sys, ragwork_wordllama, ragwork_wordllama.embedder; "
        "print(*({'numpy', 'tokenizers', 'safetensors', 'wordllama'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
