"""How long the event loop stands still, and in which line: what blocks it blocks every other request."""

import asyncio
import contextlib
import gc
import sys
import sysconfig
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import FrameType
from typing import Final

import attrs

_BEAT_S: Final = 0.002
_SUSPECT_S: Final = 0.02
_LIBRARIES: Final = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
_HERE: Final = str(Path(__file__).parent)


@attrs.define
class LoopWatch:
    """``worst`` is the longest time in seconds that the loop spent in one piece of code, ``where`` its line."""

    worst: float = 0.0
    where: str = ""
    _beat: float = attrs.field(factory=time.monotonic)
    _stop: bool = False

    def _watch(self, loop_thread: int) -> None:
        while not self._stop:
            time.sleep(_BEAT_S)
            stood = time.monotonic() - self._beat
            if stood > max(_SUSPECT_S, self.worst) and not self._stop:
                frame = sys._current_frames().get(loop_thread)
                # A loop that waits in its selector stands for want of the processor, not because of anybody.
                if frame is not None and Path(frame.f_code.co_filename).name != "selectors.py":
                    self.worst, self.where = stood, _place(frame)


@contextlib.asynccontextmanager
async def watching_loop() -> AsyncIterator[LoopWatch]:
    """Watch the running loop for as long as the block lasts.

    What earlier tests left in this process, a gigabyte at times, is kept from the garbage collector meanwhile: to look
    it through takes a second, and that is nobody's call.
    """
    watch = LoopWatch()
    gc.freeze()

    async def beat() -> None:
        while True:
            watch._beat = time.monotonic()
            await asyncio.sleep(_BEAT_S)

    beating = asyncio.create_task(beat())
    await asyncio.sleep(0)
    watcher = threading.Thread(target=watch._watch, args=(threading.get_ident(),), daemon=True)
    watcher.start()
    try:
        yield watch
    finally:
        watch._stop = True
        beating.cancel()
        watcher.join()
        gc.unfreeze()


def _place(frame: FrameType) -> str:
    """The innermost line that is nobody's library; the innermost of all if there is none."""
    found: FrameType | None = frame
    while found is not None and found.f_code.co_filename.startswith((*_LIBRARIES, _HERE, "<")):
        found = found.f_back
    chosen = found if found is not None and "pytest" not in found.f_code.co_filename else frame
    return f"{Path(chosen.f_code.co_filename).name}:{chosen.f_lineno} in {chosen.f_code.co_name}()"
