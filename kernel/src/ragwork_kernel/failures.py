"""What is said of a failure: to the operator what it was, to users what somebody meant them to read."""

from typing import Final

from ragwork_hooks.errors import Problem, ProviderError
from ragwork_hooks.jobs import GiveUp

#: What users are told of a failure that nobody foresaw.
UNEXPECTED: Final = "unexpected failure; the operator's log has the cause"
_MARK: Final = "unexpected failure: "


def cause(error: BaseException) -> str:
    """The failure in words, for the operator."""
    if isinstance(error, Problem | ProviderError | GiveUp) and str(error):
        return str(error)
    return f"{_MARK}{type(error).__name__}: {error}"


def told(cause: str) -> str:
    """The same for users: an exception that nobody turned into a sentence is not shown to them."""
    return UNEXPECTED if cause.startswith(_MARK) else cause
