"""Finding ``[n]`` marks in text that arrives in arbitrary pieces: for chat models that only write marks."""

import re

from ragwork_hooks.llm import ModelCitation

# Models also write several at once: [1, 3].
_MARK = re.compile(r"\[(\d{1,3}(?:\s?,\s?\d{1,3}){0,9})\]")
#: No mark is longer.
_LONGEST = 64


class Marks:
    """The marks of one answer to ``passages`` passages, numbered from 1."""

    def __init__(self, passages: int) -> None:
        self._passages = passages
        self._tail = ""

    def after(self, text: str) -> tuple[ModelCitation, ...]:
        """What the marks that ``text`` completes point to, as far as those passages exist."""
        seen = self._tail + text
        found = [int(number) for match in _MARK.finditer(seen) for number in match[1].split(",")]
        opened = seen.rfind("[", -_LONGEST)
        self._tail = seen[opened:] if opened >= 0 and "]" not in seen[opened:] else ""
        return tuple(ModelCitation(passage=number) for number in found if 1 <= number <= self._passages)
