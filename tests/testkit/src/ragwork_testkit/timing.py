"""Measuring how long something takes on a machine that others use, too."""

from collections.abc import Awaitable, Callable
from typing import Final

_TRIES: Final = 3


async def shortest(measure: Callable[[], Awaitable[float]], limit: float) -> float:
    """The shortest time in seconds of up to three measurements; the first one within ``limit`` is enough, since another
    process may have had the processor in those before.
    """
    taken = await measure()
    for _ in range(_TRIES - 1):
        if taken <= limit:
            break
        taken = min(taken, await measure())
    return taken
