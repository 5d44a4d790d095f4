"""Places that tenants share: who gets the next one, who waits for it, and who is refused.

Run slots, processes, threads, connections, bytes of memory: whatever one process has a bounded number of
and several tenants want at once is a ``Shares``, made by ``Services.shares``.
"""

from types import TracebackType
from typing import Protocol, Self


class Share(Protocol):
    """Places in hand. As a context manager it gives them back at the end of the block."""

    @property
    def units(self) -> int: ...

    def shrink(self, units: int) -> None:
        """Keep ``units`` places, give the rest back. More than are held changes nothing."""

    def release(self) -> None:
        """Give all back. Doing it twice does it once."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None, /
    ) -> None: ...


class Shares(Protocol):
    """``places`` of one kind in one process, for one event loop.

    - Whoever comes while places are idle gets them, however many its tenant holds (up to ``most``).
    - When they are short, the next goes to the waiting tenant that holds the least; among equals to the one
      served longest ago. So one that holds nothing waits for one completion, and for one more per other tenant
      that holds nothing.
    - A tenant's own waiters are served in order. Whoever is next is not overtaken by who wants less.
    - When too many wait, the one who has most, held and waiting, loses the newest of its waiters. The first
      waiter of a tenant that holds nothing is never refused and has no time limit but its caller's.
    """

    @property
    def name(self) -> str: ...
    @property
    def places(self) -> int: ...
    @property
    def held(self) -> int: ...
    @property
    def waiting(self) -> int: ...

    async def take(self, units: int = 1, *, tenant: str | None = None) -> Share:
        """``units`` places, fewer when there are not as many at all.

        ``tenant`` is who they are for; ``None`` is whoever the present task works for: the tenant of the
        request or of the job. Raises the refusal that was given to ``Services.shares``.
        """
