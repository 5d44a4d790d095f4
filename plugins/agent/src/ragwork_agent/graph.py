"""The LangGraph graph of a run: retrieve → generate → check citations. Import it off the event loop."""

import operator
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Annotated, TypedDict

import attrs
from langgraph.channels import UntrackedValue
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langsmith.run_helpers import tracing_context
from ragwork_hooks.llm import ChatModel, ChatRequest, Delta, Usage

from ragwork_agent import prompt
from ragwork_agent.api import TokenUsage
from ragwork_agent.checkpoint import SLOT, Slot, TurnCheckpointer
from ragwork_agent.citations import CitedText, for_model
from ragwork_agent.history import as_prompt
from ragwork_agent.retrieval import Grounds
from ragwork_agent.sessions import Checkpoint
from ragwork_agent.usage import usage_or_estimate

_NOTHING_ASKED = ChatRequest(messages=(), passages=(), question="")


@attrs.define(kw_only=True)
class RunContext:
    """What one run brings to the graph, and where it leaves its answer, beside LangGraph's state.

    ``retrieve`` ends the opening transaction: no connection is held once it returned. ``say`` takes
    each piece of the answer as it is made.
    """

    question: str
    model: ChatModel
    max_output_tokens: int | None
    retrieve: Callable[[], Awaitable[Grounds]]
    say: Callable[[str], Awaitable[None]]
    dropped: Callable[[str], None]
    slot: Slot
    grounds: Grounds = attrs.field(factory=Grounds)
    cited: CitedText | None = None
    request: ChatRequest = _NOTHING_ASKED
    reported: Usage | None = None

    @property
    def usage(self) -> TokenUsage:
        """Tokens so far."""
        return usage_or_estimate(self.reported, self.request, self.cited.text if self.cited else "")


class Totals(TypedDict):
    """What a session's checkpoint keeps: sums over its answered runs. Text never enters a checkpoint."""

    runs: Annotated[int, operator.add]
    input_tokens: Annotated[int, operator.add]
    output_tokens: Annotated[int, operator.add]


class State(Totals, total=False):
    """The totals, and the stage that the graph is in, which is not kept."""

    stage: Annotated[str, UntrackedValue]


async def _retrieve(_state: State, runtime: Runtime[RunContext]) -> dict[str, object]:
    run = runtime.context
    run.grounds = await run.retrieve()
    shown = for_model(run.grounds.passages)
    run.cited = CitedText(run.grounds.passages, shown, run.dropped)
    run.request = ChatRequest(
        messages=prompt.build(run.question, shown, as_prompt(run.grounds.history)),
        passages=shown,
        question=run.question,
        max_output_tokens=run.max_output_tokens,
    )
    return {"stage": "retrieved"}


async def _generate(_state: State, runtime: Runtime[RunContext]) -> dict[str, object]:
    run = runtime.context
    cited = _cited(run)
    deltas = run.model.stream(run.request)
    try:
        async for delta in deltas:
            run.reported = delta.usage or run.reported
            if piece := cited.feed(delta):
                await run.say(piece)
    finally:
        await _close(deltas)
    return {"stage": "generated"}


async def _check(_state: State, runtime: Runtime[RunContext]) -> dict[str, object]:
    run = runtime.context
    if rest := _cited(run).finish():
        await run.say(rest)
    used = run.usage
    return {"runs": 1, "input_tokens": used.input_tokens, "output_tokens": used.output_tokens}


def _cited(run: RunContext) -> CitedText:
    if run.cited is None:
        raise RuntimeError("the graph runs retrieve first")
    return run.cited


async def _close(deltas: AsyncIterator[Delta]) -> None:
    """Cancel the provider's call if it still goes on."""
    if isinstance(deltas, AsyncGenerator):
        await deltas.aclose()


class Graph:
    """The compiled graph; one serves every run of the process."""

    def __init__(self) -> None:
        graph = StateGraph(State, context_schema=RunContext)
        graph.add_node("retrieve", _retrieve)
        graph.add_node("generate", _generate)
        graph.add_node("check", _check)
        graph.add_edge(START, "retrieve")
        graph.add_edge("retrieve", "generate")
        graph.add_edge("generate", "check")
        graph.add_edge("check", END)
        self._graph: CompiledStateGraph[State, RunContext, State, State] = graph.compile(
            checkpointer=TurnCheckpointer()
        )

    def context(
        self,
        *,
        question: str,
        model: ChatModel,
        max_output_tokens: int | None,
        retrieve: Callable[[], Awaitable[Grounds]],
        say: Callable[[str], Awaitable[None]],
        dropped: Callable[[str], None],
        saved: Checkpoint | None,
    ) -> RunContext:
        """A run's context; ``saved`` is the session's checkpoint. For callers that must not import this module."""
        return RunContext(
            question=question,
            model=model,
            max_output_tokens=max_output_tokens,
            retrieve=retrieve,
            say=say,
            dropped=dropped,
            slot=Slot(saved),
        )

    async def run(self, context: RunContext, thread_id: str) -> Totals:
        """Run to the end. Raises what a node raises; pieces already said stay said."""
        # LangSmith is switched on by an environment variable and would send prompts outside.
        with tracing_context(enabled=False):
            result = await self._graph.ainvoke(
                {"stage": "asked"},
                config={"configurable": {"thread_id": thread_id, SLOT: context.slot}},
                context=context,
                durability="exit",
            )
        return Totals(
            runs=result["runs"],
            input_tokens=result["input_tokens"],
            output_tokens=result["output_tokens"],
        )
