"""The LangGraph graph of a run: prompt → generate → check citations. Import it off the event loop."""

import operator
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, TypedDict

from langgraph.channels import UntrackedValue
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
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


class State(TypedDict, total=False):
    """What a checkpoint keeps: sums over the session's answered runs, and never any text."""

    runs: Annotated[int, operator.add]
    input_tokens: Annotated[int, operator.add]
    output_tokens: Annotated[int, operator.add]
    stage: Annotated[str, UntrackedValue]  # where the graph is; not kept


async def _prompt(state: State, runtime: Runtime[RunContext]) -> State:
    run = runtime.context
    shown = for_model(run.context.passages)
    run.cited = CitationStream(run.context.found, shown, run.dropped)
    run.request = ChatRequest(
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
    return {"stage": "prompted"}


async def _generate(state: State, runtime: Runtime[RunContext]) -> State:
    run = runtime.context
    if run.cited is None or run.request is None:
        raise RuntimeError("the graph makes the prompt first")
    deltas = run.model.stream(run.request)
    try:
        async for delta in deltas:
            if not isinstance(delta, Delta):
                raise ProviderError("LLM_ERROR", f"{run.model.name} gave something that is no delta")
            run.reported = delta.usage or run.reported
            run.finish_reason = delta.finish_reason or run.finish_reason
            run.notice = delta.notice or run.notice
            run.stand_in = delta.stand_in or run.stand_in
            if piece := run.cited.feed(delta):
                await run.say(piece)
    finally:
        await _close(deltas)
    return {"stage": "generated"}


async def _check(state: State, runtime: Runtime[RunContext]) -> State:
    run = runtime.context
    if run.cited is not None and (rest := run.cited.finish()):
        await run.say(rest)
    used = run.usage
    return {"runs": 1, "input_tokens": used.input_tokens, "output_tokens": used.output_tokens}


async def _close(deltas: AsyncIterator[Delta]) -> None:
    """Cancel the provider's call if it still goes on."""
    if isinstance(deltas, AsyncGenerator):
        await deltas.aclose()


class Graph:
    """The compiled graph; one serves every run of the process."""

    def __init__(self) -> None:
        graph = StateGraph(State, context_schema=RunContext)
        graph.add_node("prompt", _prompt)
        graph.add_node("generate", _generate)
        graph.add_node("check", _check)
        graph.add_edge(START, "prompt")
        graph.add_edge("prompt", "generate")
        graph.add_edge("generate", "check")
        graph.add_edge("check", END)
        self._graph: CompiledStateGraph[State, RunContext, State, State] = graph.compile(
            checkpointer=TurnCheckpointer()
        )

    async def run(self, context: RunContext, thread_id: str) -> SessionTotals:
        """Run to the end; the session's totals. Raises what a node raises; what was said stays said."""
        # LangSmith is switched on by an environment variable and would send prompts outside.
        with tracing_context(enabled=False):
            end = await self._graph.ainvoke(
                {"stage": "asked"},
                config={"configurable": {"thread_id": thread_id, SLOT: context.slot}},
                context=context,
                durability="exit",
            )
        return SessionTotals(
            runs=end["runs"], input_tokens=end["input_tokens"], output_tokens=end["output_tokens"]
        )
