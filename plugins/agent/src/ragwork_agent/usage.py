"""Tokens of a run: the provider's count, else an estimate."""

from ragwork_hooks.llm import ChatRequest, Usage

from ragwork_agent.api import TokenUsage

_CHARS_PER_TOKEN = 4


def usage_or_estimate(reported: Usage | None, request: ChatRequest | None, answer: str) -> TokenUsage:
    """What the provider reported; for one that did not, or was cut short, about four characters a token."""
    if reported is not None:
        return TokenUsage(
            input_tokens=reported.input_tokens,
            output_tokens=reported.output_tokens,
            estimated=reported.estimated,
        )
    asked = sum(len(message.content) for message in request.messages) if request else 0
    return TokenUsage(
        input_tokens=-(-asked // _CHARS_PER_TOKEN),
        output_tokens=-(-len(answer) // _CHARS_PER_TOKEN),
        estimated=True,
    )
