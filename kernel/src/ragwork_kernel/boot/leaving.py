"""The end of a process that was told to stop: in order if it can, in time whatever hangs."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeAlias

log = logging.getLogger(__name__)

AtWorst: TypeAlias = list[Callable[[], Awaitable[None]]]

#: What the orderly end has beyond the drain, and what remains of that for stopping what was started.
GRACE_S: Final = 5.0
_LAST_S: Final = 2.0


class Leaving:
    """Hears SIGTERM and SIGINT, also while the event loop is blocked.

    The first one sets ``told``; before ``serving`` it cancels the task that made this. After ``within_s`` seconds
    and ``GRACE_S``, or with the second signal, the process ends: ``at_worst`` are still awaited, in a loop of their
    own, and nothing else.
    """

    def __init__(self, within_s: float) -> None:
        self.told = asyncio.Event()
        self.serving = False
        self.at_worst: AtWorst = []
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._timer = threading.Timer(within_s + GRACE_S - _LAST_S, self._end, ["it did not stop in time"])
        self._timer.daemon = True
        self._began = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._heard)

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        if self._began:
            # Not here: this may be within anything, locks included.
            threading.Thread(target=self._end, args=["it was told twice"], daemon=True).start()
            return
        self._began = True
        self._timer.start()
        self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self.told.set()
        if not self.serving and self._task is not None:
            self._task.cancel()

    def _end(self, why: str) -> None:
        names = sorted({task.get_name() for task in asyncio.all_tasks(self._loop)})
        log.critical("ending at once: %s; still under way: %s", why, ", ".join(names)[:2_000])
        thread = threading.Thread(target=self._stop_the_rest, daemon=True)
        thread.start()
        thread.join(_LAST_S)
        os._exit(1)

    def _stop_the_rest(self) -> None:
        async def stop() -> None:
            results: list[Any] = await asyncio.gather(
                *(each() for each in self.at_worst), return_exceptions=True
            )
            for error in results:
                if isinstance(error, BaseException):
                    log.error("could not be stopped", exc_info=error)

        asyncio.run(stop())


@contextmanager
def suppress_told(leaving: Leaving) -> Iterator[None]:
    """A boot that was cut short because the process was told to stop is no failure."""
    try:
        yield
    except asyncio.CancelledError:
        if not leaving.told.is_set():
            raise
