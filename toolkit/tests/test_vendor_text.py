"""What goes to a service: its text travels, and its tokens are estimated when nobody counts them."""

import pytest
from ragwork_hooks.llm import ChatRequest, Message, Usage
from ragwork_toolkit.vendor.sendable_text import sendable_text
from ragwork_toolkit.vendor.usage import estimate_usage


@pytest.mark.parametrize(
    ("text", "sent"),
    [("", ""), ("超音速 μ", "超音速 μ"), ("a\ud800b", "a?b"), ("\U0001f600", "\U0001f600"), ("\ude00", "?")],
)
def test_a_lone_surrogate_becomes_a_question_mark_and_all_else_stays(text: str, sent: str) -> None:
    assert sendable_text(text) == sent
    assert sent.encode().decode() == sent


def test_tokens_are_estimated_from_every_message_and_rounded_up() -> None:
    messages = (Message(role="system", content="12345"), Message(role="user", content="1234"))
    request = ChatRequest(messages=messages, passages=(), question="not counted twice")
    assert estimate_usage(request, 5) == Usage(input_tokens=3, output_tokens=2, estimated=True)
    assert estimate_usage(None, 0) == Usage(input_tokens=0, output_tokens=0, estimated=True)
