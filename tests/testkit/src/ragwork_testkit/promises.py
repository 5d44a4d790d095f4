"""How a kit says what is wrong: the rule that was broken and its remedy, in one sentence, then what was seen.

The docstring of a kit's test is that sentence: "a rule: its remedy".
"""

import inspect
import re
from collections.abc import Callable
from typing import Final

_LIMIT: Final = 600
#: A Python value where a sentence should be: an exception's or object's repr, an error number, a traceback.
REPR: Final = re.compile(
    r"\b\w*(?:Error|Exception)\(|\bConnectionKey\b|<[\w.]+ object at 0x|\bTraceback\b|\[Errno|<urlopen error"
)


class BrokenPromise(AssertionError):
    """An implementation breaks a rule of its seam. The text is for its author."""

    def __init__(self, rule: str, remedy: str, seen: str = "") -> None:
        self.rule, self.remedy, self.seen = rule, remedy, seen
        super().__init__(f"{rule}: {remedy}" + (f" (seen: {_brief(seen)})" if seen else ""))


# pytest shows an exception by its qualified name; where the class lives helps nobody.
BrokenPromise.__module__ = "builtins"


def promise_of(test: Callable[..., object]) -> tuple[str, str]:
    """Rule and remedy in a test's docstring. Raises ``LookupError`` when it has none."""
    text = " ".join((inspect.getdoc(inspect.unwrap(test)) or "").split())
    rule, colon, remedy = text.rstrip(".").partition(": ")
    if not colon:
        raise LookupError(f"{test.__qualname__} says no rule and remedy")
    return rule[0].lower() + rule[1:], remedy


def broken(test: Callable[..., object], error: BaseException) -> BrokenPromise:
    """``error``, which ended a kit's test, as the promise that it broke."""
    if isinstance(error, BrokenPromise):
        return error
    rule, remedy = promise_of(test)
    said = str(error)
    seen = said if isinstance(error, AssertionError) else f"{type(error).__name__}: {said}"
    return BrokenPromise(rule, remedy, seen)


def _brief(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LIMIT else f"{line[:_LIMIT]}…"
