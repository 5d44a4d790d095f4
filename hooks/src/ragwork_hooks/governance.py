"""What views that join many plugins see: data stores and signals; never tables."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

import attrs

from ragwork_hooks.storage import Transaction


@attrs.frozen(kw_only=True)
class Subject:
    """Whose data: ``kind`` is tenant, user, session or document."""

    kind: str
    id: str


class DataStore(Protocol):
    """One plugin's data of one kind. Steps are idempotent, so an erasure can be resumed."""

    name: str

    async def page(
        self, tx: Transaction, filter: Mapping[str, object], sort: str, cursor: str | None
    ) -> tuple[Sequence[Mapping[str, object]], str | None]:
        """Rows and the next cursor; the cursor is ``None`` at the end."""

    def export(self, tx: Transaction, subject: Subject) -> AsyncIterator[Mapping[str, object]]:
        """All that the store has of ``subject``, and of nobody else."""

    async def erase(self, tx: Transaction, subject: Subject) -> int:
        """Erase every copy; how many rows went."""

    async def expire(self, tx: Transaction, older_than: timedelta) -> int:
        """Erase what is past its age by database time, held rows excepted; how many rows went."""


class Signal(Protocol):
    """A live number, by window: what ``/v1/ops/slo`` shows, and what an alert would watch."""

    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str:
        """What is counted: ``percent``, ``milliseconds``."""

    async def value(self, tenant_id: str | None, window: timedelta) -> float | None:
        """Of one tenant, or of all together. ``None`` when nothing was measured, or not so."""
