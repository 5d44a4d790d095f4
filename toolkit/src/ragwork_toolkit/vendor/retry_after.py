"""Retry-After: how long a service asks its clients to wait."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

#: Advice beyond this is an outage, not a pause.
MAX_RETRY_AFTER_S: Final = 3600.0


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a ``Retry-After`` header, which holds seconds or a date (RFC 9110, 10.2.3).

    0.0 to ``MAX_RETRY_AFTER_S``, ``None`` when there is no advice to understand. ``now`` has an offset.
    """
    advice = (value or "").strip()
    if advice.isascii() and advice.isdigit():
        return min(float(advice), MAX_RETRY_AFTER_S)
    try:
        until = parsedate_to_datetime(advice)
    except (ValueError, TypeError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)  # the format's "-0000": UTC, said by nobody in particular
    return min(max((until - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)
