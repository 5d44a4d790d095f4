"""The process clock. What must be exact asks the database instead."""

import time
from datetime import UTC, datetime


class SystemClock:
    """Implements ``ragwork_hooks.services.Clock``."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
