"""Tokens of a run: the provider's count, else an estimate."""

from ragwork_hooks.llm import ChatRequest, Usage
from ragwork_toolkit.vendor.usage import estimate_usage

from ragwork_agent.schemas import TokenUsage


def usage_or_estimate(reported: Usage | None, request: ChatRequest | None, answer: str) -> TokenUsage:
    """What the provider reported; for one that did not, or was cut short, an estimate."""
    usage = reported or estimate_usage(request, len(answer))
    return TokenUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        estimated=usage.estimated,
    )
