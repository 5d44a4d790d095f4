"""A prompt for services that take system texts apart, and turns that alternate.

Users: anthropic, bedrock.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.llm import Message

from ragwork_toolkit.vendor.errors import VendorErrorCodes
from ragwork_toolkit.vendor.sendable_text import sendable_text

Turns: TypeAlias = Sequence[tuple[Literal["user", "assistant"], Sequence[str]]]


def conversation(messages: Sequence[Message], codes: VendorErrorCodes) -> tuple[Sequence[str], Turns]:
    """The system texts, and the turns: each with the texts of messages in a row, the first and the last the user's.
    Such services take no blank text, so there is none.

    Raises ``ProviderError`` ``codes.refused`` when the user said nothing.
    """
    system: list[str] = []
    turns: list[tuple[Literal["user", "assistant"], list[str]]] = []
    for message in messages:
        text = sendable_text(message.content)
        if not text.strip():
            continue
        if message.role == "system":
            system.append(text)
        elif turns and turns[-1][0] == message.role:
            turns[-1][1].append(text)
        elif turns or message.role == "user":
            turns.append((message.role, [text]))
    if not turns or turns[-1][0] != "user":
        raise ProviderError(codes.refused, "there is no question to answer")
    return system, turns
