"""Places that tenants share: who gets the next one, who waits for it, and who is refused.

Run slots, processes, threads, connections, bytes of memory: whatever one process has a bounded number of
and several tenants want at once is a ``Shares``, made by ``Services.shares``.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self, TypeVar

from ragwork_hooks.errors import ProviderError

T = TypeVar("T")


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


def provider_busy(said: str) -> ProviderError:
    """The refusal of a provider: SERVICE_BUSY, worth another try in a second."""
    return ProviderError("SERVICE_BUSY", said, retryable=True, retry_after_s=1.0)


async def in_thread(shares: Shares, threads: Executor, work: Callable[[], T]) -> T:
    """``work()`` on one of ``threads``, in a place of ``shares``.

    The place is free again when the thread is, also when the caller has left. Raises the refusal of
    ``shares``, and ``RuntimeError`` when the threads were shut down.
    """
    share = await shares.take()
    loop = asyncio.get_running_loop()

    def idle(_step: object) -> None:
        with suppress(RuntimeError):  # the loop may be closed by then
            loop.call_soon_threadsafe(share.release)

    try:
        step = threads.submit(work)
    except RuntimeError:
        share.release()
        raise
    step.add_done_callback(idle)
    return await asyncio.wrap_future(step)
