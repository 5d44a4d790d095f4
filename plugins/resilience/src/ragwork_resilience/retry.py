"""What a failure says: about the provider, about trying again, and about standing in for it."""

import random
from typing import Final, Literal, TypeAlias

import attrs
from ragwork_hooks.errors import Problem, ProviderError

from ragwork_resilience.config import RetryPolicy

UNAVAILABLE: Final = "INTEGRATION_UNAVAILABLE"
_LONGEST_BACKOFF_S: Final = 5.0
#: How long a caller refused for want of a place is told to wait.
_BUSY_RETRY_AFTER_S: Final = 1.0

#: ``failed``: the provider broke. ``answered``: it is alive and said no. ``silent``: nothing is known of it.
Verdict: TypeAlias = Literal["failed", "answered", "silent"]


class RetriesExhausted(ProviderError):
    """All that may be done for this call was done, or its circuit is open: another provider may stand in.

    ``retryable``, since another day may be better; a guard around this one's caller neither repeats nor
    counts it again.
    """

    def __init__(self, code: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(code, message, retryable=True, retry_after_s=retry_after_s)


def too_many(said: str) -> RetriesExhausted:
    """The refusal of a call for want of a place."""
    return RetriesExhausted("SERVICE_BUSY", said, _BUSY_RETRY_AFTER_S)


def verdict(error: BaseException) -> Verdict:
    """What ``error``, raised by a provider's call, says about the provider."""
    if isinstance(error, RetriesExhausted | Problem):
        return "silent"
    if isinstance(error, ProviderError):
        # Refusals (a key, a request, a quota) are an answer; so is advice when to come back.
        return "failed" if error.retryable and error.retry_after_s is None else "answered"
    return "failed" if isinstance(error, Exception) else "silent"


def exhausted(error: ProviderError) -> RetriesExhausted:
    """``error`` as the last word on a call."""
    return RetriesExhausted(error.code, error.message, error.retry_after_s)


@attrs.define
class RetryBudget:
    """One call's allowance. ``deadline`` is in loop time; ``last`` what the latest attempt raised."""

    policy: RetryPolicy
    deadline: float
    made: int = 0
    last: ProviderError | None = None

    def pause(self, error: ProviderError, now: float) -> float:
        """Seconds until the next attempt: full jitter, and never before the provider's own advice.

        Raises ``RetriesExhausted`` when there is none, and ``error`` itself when repeating can't help.
        """
        self.made, self.last = self.made + 1, error
        if not error.retryable or isinstance(error, RetriesExhausted):
            raise error
        ceiling = min(self.policy.backoff_s * 2.0 ** (self.made - 1), _LONGEST_BACKOFF_S)
        wait = random.uniform(0, ceiling)  # noqa: S311  # spreads retries, no secret
        if error.retry_after_s is not None:
            wait = max(wait, error.retry_after_s)
        if self.made >= self.policy.attempts or now + wait >= self.deadline:
            raise exhausted(error) from error
        return wait
