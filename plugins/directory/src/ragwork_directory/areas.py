"""Areas of the directory."""

from typing import Final

from ragwork_hooks.http import Area

AREAS: Final = (
    Area(
        name="approvals",
        about="Roles that wait for a second administrator, and their word on them.",
        rank=43,
        path={"request_id": "The role request's id."},
    ),
)
