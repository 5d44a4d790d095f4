"""Text that has a UTF-8 form, so that it can travel.

Users: anthropic, bedrock (by `conversation`), openai, vertex.
"""


def sendable_text(text: str) -> str:
    """``text`` with a question mark for each lone surrogate, which JSON can bring and UTF-8 can't carry."""
    return text.encode(errors="replace").decode()
