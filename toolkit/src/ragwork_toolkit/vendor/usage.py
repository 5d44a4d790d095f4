"""Token usage of an answer that its service did not count.

Users: agent, anthropic, bedrock, extractive, fake, openai, vertex.
"""

from typing import Final

from ragwork_hooks.llm import ChatRequest, Usage

#: A token is about four characters of English.
CHARS_PER_TOKEN: Final = 4


def estimate_usage(request: ChatRequest | None, written: int) -> Usage:
    """An estimate for the messages of ``request`` and an answer of ``written`` characters, each rounded up."""
    asked = sum(len(message.content) for message in request.messages) if request else 0
    return Usage(
        input_tokens=-(-asked // CHARS_PER_TOKEN),
        output_tokens=-(-written // CHARS_PER_TOKEN),
        estimated=True,
    )
