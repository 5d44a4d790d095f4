"""What one run brings to the graph, and where it leaves its answer, beside LangGraph's state."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ragwork_hooks.llm import ChatModel, ChatRequest, FinishReason, GenerationSettings, Usage

from ragwork_agent.citations.citation_stream import CitationStream
from ragwork_agent.run.retrieval import RetrievedContext
from ragwork_agent.run.usage import usage_or_estimate
from ragwork_agent.schemas import TokenUsage
from ragwork_agent.sessions.session_store import Checkpoint


class CheckpointSlot:
    """The checkpoint of one run: what the opening statement read, then what the closing one writes."""

    def __init__(self, saved: Checkpoint | None) -> None:
        self.saved = saved
        self.taken: Checkpoint | None = None


@dataclass(kw_only=True)  # LangGraph takes dataclasses here, not attrs classes.
class RunContext:
    """The run's inputs, and its answer as it grows. ``say`` takes each piece of it as it is made."""

    question: str
    context: RetrievedContext
    model: ChatModel
    generation: GenerationSettings
    max_output_tokens: int | None
    say: Callable[[str], Awaitable[None]]
    dropped: Callable[[str], None]
    slot: CheckpointSlot
    cited: CitationStream | None = None
    request: ChatRequest | None = None
    reported: Usage | None = None
    finish_reason: FinishReason | None = None
    notice: str | None = None
    stand_in: str | None = None

    @property
    def answered_by(self) -> tuple[str | None, str | None]:
        """The provider that answers, and the model that it was asked for: ``None`` for the one of its settings."""
        return (self.stand_in, None) if self.stand_in else (self.generation.provider, self.generation.model)

    @property
    def usage(self) -> TokenUsage:
        """Tokens so far."""
        return usage_or_estimate(self.reported, self.request, self.cited.text if self.cited else "")
