"""Areas of plans."""

from typing import Final

from ragwork_hooks.http import Area

AREAS: Final = (
    Area(
        name="plans",
        about="Plans, the features in them, and what a tenant gets beside its plan.",
        rank=52,
        path={"tenant_id": "Your tenant, or with platform scope any."},
    ),
)
