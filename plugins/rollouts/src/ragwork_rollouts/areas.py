"""Areas of rollouts."""

from typing import Final

from ragwork_hooks.http import Area

AREAS: Final = (
    Area(
        name="rollouts",
        about="Switch features off at once, or on for a share of the tenants.",
        rank=53,
    ),
)
