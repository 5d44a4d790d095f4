"""Areas of billing."""

from typing import Final

from ragwork_hooks.http import Area

AREAS: Final = (
    Area(
        name="billing",
        about="Try out where billing events are delivered to.",
        rank=21,
    ),
)
