"""Areas of operation."""

from typing import Final

from ragwork_hooks.http import Area

AREAS: Final = (
    Area(
        name="explain",
        about="Why a request was answered as it was.",
        rank=70,
        path={"request_id": "The request's id: the client's or the server's."},
    ),
    Area(
        name="ops",
        about="Health, traffic, ingestion and service levels as figures.",
        rank=71,
    ),
    Area(
        name="maintenance",
        about="Chores by hand.",
        rank=72,
    ),
    Area(
        name="retention",
        about="How long rows are kept.",
        rank=73,
    ),
)
