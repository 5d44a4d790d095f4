"""What one event of an answer's stream says. What is missing in it or of another type is skipped."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs
from ragwork_hooks.llm import FinishReason, Usage
from ragwork_toolkit.vendor.sendable_text import sendable_text

_MOST_TOKENS: Final = 10**12
#: Reasons to stop that leave an answer unfinished. A turn that is paused would go on with tools, which none has.
_CUT_SHORT: Final[Mapping[str, FinishReason]] = MappingProxyType(
    {
        "max_tokens": "length",
        "model_context_window_exceeded": "length",
        "refusal": "content_filter",
        "pause_turn": "incomplete",
    }
)
#: All that a prompt is counted as: what was read from a cache, or put into one, is left out of the first.
_INPUTS: Final = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


@attrs.define
class AnswerState:
    """What has come of an answer so far: ``ended`` once the service said why it stops, ``stopped`` when it is over."""

    ended: bool = False
    stopped: bool = False
    reason: FinishReason | None = None
    written: int = 0
    failure: object = None
    _input: int | None = None
    _output: int | None = None

    @property
    def usage(self) -> Usage | None:
        """The tokens, when the service said both numbers."""
        if self._input is None or self._output is None:
            return None
        return Usage(input_tokens=self._input, output_tokens=self._output)

    def add(self, event: Mapping[str, Any]) -> str:
        """The text that ``event`` brings, "" for events about something else."""
        match event.get("type"):
            case "message_start":
                self._count(_object(event.get("message")).get("usage"))
            case "content_block_start":
                return self._say(event.get("content_block"), "text")
            case "content_block_delta":
                return self._say(event.get("delta"), "text_delta")
            case "message_delta":
                self._count(event.get("usage"))
                why = _object(event.get("delta")).get("stop_reason")
                if isinstance(why, str):
                    self.ended, self.reason = True, _CUT_SHORT.get(why)
            case "message_stop":
                self.ended = self.stopped = True
            case "error":
                self.failure = event.get("error") or "error"
        return ""

    def _say(self, block: object, kind: str) -> str:
        """The text of a block or piece of ``kind``; thoughts and all else is not for readers."""
        found = _object(block)
        said = found.get("text")
        if found.get("type") != kind or not isinstance(said, str):
            return ""
        # Half a surrogate pair, escaped in JSON, is no text that could be sent on.
        text = sendable_text(said)
        self.written += len(text)
        return text

    def _count(self, usage: object) -> None:
        """Counts are of the whole answer so far; what an event does not say stays."""
        counts = _object(usage)
        inputs = [count for name in _INPUTS if (count := _tokens(counts.get(name))) is not None]
        if _tokens(counts.get("input_tokens")) is not None:
            self._input = sum(inputs)
        output = _tokens(counts.get("output_tokens"))
        self._output = self._output if output is None else output


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _tokens(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST_TOKENS:
        return None
    return int(value)
