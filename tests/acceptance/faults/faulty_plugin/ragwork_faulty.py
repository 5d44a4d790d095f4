"""A plugin as a third party may write it: a retriever and a chat model that go wrong in the way they are told."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import attrs
from ragwork_hooks.authz import ReadScope
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.llm import ChatModel, ChatRequest, Delta, Usage
from ragwork_hooks.plugin import PluginInfo, hookimpl
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.retrieval import Passage, Query, Retriever
from ragwork_hooks.storage import Transaction

HUGE = "long words " * 1_000_000
#: Set, everybody who ignores cancellation ends; until then they go on.
released = threading.Event()


async def go_wrong(how: str) -> None:
    """What every kind of provider can do wrong before it answers."""
    match how:
        case "down":
            raise ProviderError("INTEGRATION_UNAVAILABLE", "nobody is there", retryable=True)
        case "crash":
            raise ZeroDivisionError("a bug")
        case "hang":
            await asyncio.Event().wait()
        case "deaf":
            while not released.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.02)
        case "block":
            time.sleep(1)  # noqa: ASYNC251  # that is the fault


@attrs.frozen
class Found:
    """A prepared query whose answer is fixed."""

    passages_: Any

    async def passages(self, tx: Transaction, scope: ReadScope) -> Sequence[Passage]:
        return self.passages_  # type: ignore[no-any-return]


class FaultyRetriever:
    """Finds the corpus' ``document``, or goes wrong as its ``how`` says."""

    transactional = False

    async def prepare(self, tenant_id: str, query: Query) -> Any:
        how, document = str(query.options.get("how", "")), str(query.options["document"])
        await go_wrong(how)
        if how == "wrong type":
            return "a text"
        if how == "wrong passages":
            return Found([1, 2])
        if how == "no list":
            return Found(None)
        if how == "empty":
            return Found([])
        text = HUGE if how == "huge" else "Gates open when the tide is high."
        return Found(
            [Passage(document_id=document, chunk_id=f"{document}:far", text=text, score=0.9, source="far.md")]
        )


class FaultyModel:
    """Says three words, or goes wrong when the question is ``!how``."""

    name = "faulty"

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        how = request.question.removeprefix("!") if request.question.startswith("!") else ""
        if how.startswith("late "):
            yield Delta(text="well ")
            how = how.removeprefix("late ")
        await go_wrong(how)
        if how == "wrong type":
            yield "text"  # type: ignore[misc]
        for word in ("one ", "two ", "three"):
            yield Delta(text=word)
        yield Delta(usage=Usage(input_tokens=1, output_tokens=3))

    async def aclose(self) -> None:
        """Nothing to release."""


@attrs.frozen(kw_only=True)
class Options:
    """``how`` the corpus' retriever goes wrong, and the ``document`` that it finds otherwise."""

    document: str
    how: str = ""


async def _open_retriever(_context: ProviderContext[object]) -> Retriever:
    return FaultyRetriever()


async def _open_model(_context: ProviderContext[object]) -> ChatModel:
    return FaultyModel()


class FaultyPlugin:
    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(name="faulty", summary="goes wrong as told")


plugin = FaultyPlugin()
retriever: Provider[Retriever] = Provider(name="faulty", open=_open_retriever, options=Options)
model: Provider[ChatModel] = Provider(name="faulty", open=_open_model)
no_provider = "faulty"
