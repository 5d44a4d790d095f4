"""What one object of a chat stream says. What is missing in it or of another type is skipped."""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs
from ragwork_hooks.llm import FinishReason, Usage
from ragwork_toolkit.vendor.sendable_text import sendable_text

_MOST_TOKENS = 10**12
_CUT_SHORT: Mapping[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}


@attrs.frozen(kw_only=True)
class AnswerPiece:
    """``text`` of the answer, why it ended if it did, its tokens; ``failed`` when the service reports an error."""

    text: str = ""
    ended: bool = False
    reason: FinishReason | None = None
    usage: Usage | None = None
    failed: bool = False


def piece_of(found: Mapping[str, Any]) -> AnswerPiece:
    """The piece in an object of the stream."""
    text, ended, reason = "", False, None
    for choice in _objects(found.get("choices")):
        delta = choice.get("delta")
        text += _said(delta if isinstance(delta, dict) else {})
        why = choice.get("finish_reason")
        if isinstance(why, str) and why:
            ended, reason = True, _CUT_SHORT.get(why)
    failed = isinstance(found.get("error"), dict | str) and bool(found["error"]) and not text
    return AnswerPiece(text=text, ended=ended, reason=reason, usage=_usage(found.get("usage")), failed=failed)


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))


def _said(delta: Mapping[str, Any]) -> str:
    """The content, a text or parts with one; a refusal is an answer too."""
    content = delta.get("content")
    if isinstance(content, list):
        content = "".join(text for part in _objects(content) if isinstance(text := part.get("text"), str))
    said = content or delta.get("refusal")
    # Half a surrogate pair, escaped in JSON, is no text that could be sent on.
    return sendable_text(said) if isinstance(said, str) else ""


def _usage(value: object) -> Usage | None:
    """The tokens, when the service says both numbers."""
    if not isinstance(value, dict):
        return None
    asked, written = _count(value.get("prompt_tokens")), _count(value.get("completion_tokens"))
    if asked is None or written is None:
        return None
    return Usage(input_tokens=asked, output_tokens=written)


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST_TOKENS:
        return None
    return int(value)
