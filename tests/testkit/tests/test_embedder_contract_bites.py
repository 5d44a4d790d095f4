"""Each promise of the embedder contract fails for an embedder that breaks just that promise."""

import asyncio
import hashlib
import time
from collections.abc import Sequence

import pytest
from ragwork_hooks.retrieval import Embedder
from ragwork_testkit.embedding import EmbedderContract, Purpose

CONTRACT = EmbedderContract()


class Honest:
    """A bag of hashed words; gives up the loop between texts."""

    name = "honest"
    dimension = 64

    def vector(self, text: str) -> list[float]:
        counts = [1e-3] * self.dimension
        for word in text[:2_000].lower().replace(".", " ").split():
            counts[hashlib.sha256(word.encode("utf-8", "replace")).digest()[0] % self.dimension] += 1.0
        length = sum(x * x for x in counts) ** 0.5
        return [x / length for x in counts]

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> list[list[float]]:
        vectors = []
        for text in texts:
            vectors.append(self.vector(text))
            await asyncio.sleep(0)
        return vectors

    async def aclose(self) -> None:
        return None


class Reversed(Honest):
    async def embed(self, texts: Sequence[str], purpose: Purpose) -> list[list[float]]:
        return (await super().embed(texts, purpose))[::-1]


class Unscaled(Honest):
    def vector(self, text: str) -> list[float]:
        return [2 * x for x in super().vector(text)]


class Narrow(Honest):
    def vector(self, text: str) -> list[float]:
        return super().vector(text)[:-1]


class Blind(Honest):
    def vector(self, text: str) -> list[float]:
        return super().vector(hashlib.sha256(text.encode()).hexdigest())


class Restless(Honest):
    def vector(self, text: str) -> list[float]:
        return super().vector(f"{time.perf_counter_ns()}")


class Picky(Honest):
    def vector(self, text: str) -> list[float]:
        if len(text) > 10_000:
            raise ValueError("too long")
        return super().vector(text.encode().decode())


class Blocking(Honest):
    """Embeds a whole batch on the event loop."""

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> list[list[float]]:
        return [self.vector(text) for text in texts]


class Single(Honest):
    """One call after the other, and a cancelled call goes on in the background."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> list[list[float]]:
        async def work() -> list[list[float]]:
            async with self._turn:
                return await super(Single, self).embed(texts, purpose)

        return await asyncio.shield(asyncio.ensure_future(work()))


class OnceClosed(Honest):
    closed = False

    async def aclose(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


async def test_the_honest_embedder_passes() -> None:
    embedder: Embedder = Honest()
    await CONTRACT.test_order_is_kept_whatever_the_lengths(embedder, "query")
    await CONTRACT.test_vectors_have_the_dimension_and_unit_length(embedder, "document")
    await CONTRACT.test_the_same_text_has_the_same_vector(embedder)
    await CONTRACT.test_related_texts_are_closer_than_unrelated_ones(embedder)
    await CONTRACT.test_a_long_text_is_cut_not_refused(embedder)
    await CONTRACT.test_an_odd_text_has_a_vector(embedder, "a\ud800", "query")
    await CONTRACT.test_a_query_overtakes_running_documents(embedder)
    await CONTRACT.test_the_event_loop_goes_on_while_documents_run(embedder)
    await CONTRACT.test_a_cancelled_call_frees_its_place(embedder)
    await CONTRACT.test_it_can_be_closed_twice(embedder)


async def test_a_wrong_order_is_found() -> None:
    with pytest.raises(AssertionError, match="another text's vector"):
        await CONTRACT.test_order_is_kept_whatever_the_lengths(Reversed(), "query")


@pytest.mark.parametrize("embedder", [Unscaled(), Narrow()], ids=["length", "dimension"])
async def test_an_ill_formed_vector_is_found(embedder: Embedder) -> None:
    with pytest.raises(AssertionError):
        await CONTRACT.test_vectors_have_the_dimension_and_unit_length(embedder, "query")


async def test_vectors_without_meaning_are_found() -> None:
    with pytest.raises(AssertionError, match="scores"):
        await CONTRACT.test_related_texts_are_closer_than_unrelated_ones(Blind())


async def test_vectors_that_change_are_found() -> None:
    with pytest.raises(AssertionError):
        await CONTRACT.test_the_same_text_has_the_same_vector(Restless())


async def test_a_refused_text_is_found() -> None:
    with pytest.raises(ValueError, match="too long"):
        await CONTRACT.test_a_long_text_is_cut_not_refused(Picky())
    with pytest.raises(UnicodeEncodeError):
        await CONTRACT.test_an_odd_text_has_a_vector(Picky(), "a\ud800", "query")


async def test_work_on_the_event_loop_is_found() -> None:
    with pytest.raises(AssertionError, match="the loop stood still"):
        await CONTRACT.test_the_event_loop_goes_on_while_documents_run(Blocking())


async def test_a_query_that_waits_is_found() -> None:
    with pytest.raises(AssertionError, match="waited for the documents"):
        await CONTRACT.test_a_query_overtakes_running_documents(Single())


async def test_work_that_outlives_its_cancelled_call_is_found() -> None:
    with pytest.raises(AssertionError, match="still being embedded"):
        await CONTRACT.test_a_cancelled_call_frees_its_place(Single())


async def test_a_close_that_is_not_idempotent_is_found() -> None:
    with pytest.raises(RuntimeError, match="closed already"):
        await CONTRACT.test_it_can_be_closed_twice(OnceClosed())


def test_a_subclass_cannot_replace_a_test() -> None:
    with pytest.raises(TypeError, match="test_it_can_be_closed_twice"):
        type("Cheat", (EmbedderContract,), {"test_it_can_be_closed_twice": lambda self: None})
