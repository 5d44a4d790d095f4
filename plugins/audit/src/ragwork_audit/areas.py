"""Areas of the audit log."""

from typing import Final

from ragwork_hooks.http import Area

AREAS: Final = (
    Area(
        name="audit",
        about="What happened, sealed so that nobody can change it unseen.",
        rank=44,
        path={"event_id": "The event's number."},
    ),
)
