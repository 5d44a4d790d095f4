"""The LangGraph graph of a run: one node makes the prompt, lets the model answer and checks the citations. Import it
off the event loop.
"""

import operator
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, Final

from langgraph.channels import BinaryOperatorAggregate, EphemeralValue
from langgraph.pregel import NodeBuilder, Pregel
from langgraph.runtime import Runtime
from langsmith.run_helpers import tracing_context
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.llm import ChatRequest, Delta

from ragwork_agent.citations.citation_stream import CitationStream, for_model
from ragwork_agent.run import prompt
from ragwork_agent.run.checkpoint import SLOT, TurnCheckpointer
from ragwork_agent.run.context import RunContext
from ragwork_agent.run.history import as_prompt
from ragwork_agent.schemas import SessionTotals

#: What a checkpoint keeps: sums over the session's answered runs, and never any text.
_SUMS: Final = ("runs", "input_tokens", "output_tokens")
#: The channel that starts a run. Not kept.
_ASKED: Final = "asked"


async def _answer(_asked: bool, runtime: Runtime[RunContext]) -> Mapping[str, int]:
    """Answer, and give what the run adds to each sum."""
    run = runtime.context
    shown = for_model(run.context.passages)
    run.cited = cited = CitationStream(run.context.found, shown, run.dropped)
    run.request = request = ChatRequest(
        messages=prompt.build(
            run.question, shown, as_prompt(run.context.history), run.generation.system_prompt
        ),
        passages=shown,
        question=run.question,
        max_output_tokens=run.max_output_tokens,
        model=run.generation.model,
        temperature=run.generation.temperature,
        fallback=run.generation.fallback,
    )
    await _generate(run, request, cited)
    if rest := cited.finish():
        await run.say(rest)
    used = run.usage
    return {"runs": 1, "input_tokens": used.input_tokens, "output_tokens": used.output_tokens}


async def _generate(run: RunContext, request: ChatRequest, cited: CitationStream) -> None:
    """Say what the model says, piece by piece."""
    deltas = run.model.stream(request)
    try:
        async for delta in deltas:
            if not isinstance(delta, Delta):
                raise ProviderError("LLM_ERROR", f"{run.model.name} gave something that is no delta")
            run.reported = delta.usage or run.reported
            run.finish_reason = delta.finish_reason or run.finish_reason
            run.notice = delta.notice or run.notice
            run.stand_in = delta.stand_in or run.stand_in
            if piece := cited.feed(delta):
                await run.say(piece)
    finally:
        await _close(deltas)


async def _close(deltas: AsyncIterator[Delta]) -> None:
    """Cancel the provider's call if it still goes on."""
    if isinstance(deltas, AsyncGenerator):
        await deltas.aclose()


class Graph:
    """The compiled graph; one serves every run of the process.

    A ``Pregel`` of one node and not a ``StateGraph``, whose own first node is a step more: each step costs as much as
    retrieval does.
    """

    def __init__(self) -> None:
        # LangGraph gives a node its ``runtime`` by name; its types know that of a ``StateGraph`` only.
        answer = NodeBuilder().subscribe_only(_ASKED).do(_answer)  # type: ignore[arg-type]
        sums = {name: operator.itemgetter(name) for name in _SUMS}
        self._graph: Pregel[Any, RunContext, Any, Any] = Pregel(
            nodes={"answer": answer.write_to(**sums)},
            channels={
                _ASKED: EphemeralValue(bool),
                **{name: BinaryOperatorAggregate(int, operator.add) for name in _SUMS},
            },
            input_channels=_ASKED,
            output_channels=list(_SUMS),
            stream_channels=list(_SUMS),
            checkpointer=TurnCheckpointer(),
            context_schema=RunContext,
        )

    async def run(self, context: RunContext, thread_id: str) -> SessionTotals:
        """Run to the end; the session's totals. Raises what the node raises; what was said stays said."""
        # LangSmith is switched on by an environment variable and would send prompts outside.
        with tracing_context(enabled=False):
            end = await self._graph.ainvoke(
                True,
                config={"configurable": {"thread_id": thread_id, SLOT: context.slot}},
                context=context,
                durability="exit",
            )
        return SessionTotals(
            runs=end["runs"], input_tokens=end["input_tokens"], output_tokens=end["output_tokens"]
        )
