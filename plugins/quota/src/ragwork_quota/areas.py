"""Areas of quotas."""

from typing import Final

from ragwork_hooks.http import Area

AREAS: Final = (
    Area(
        name="quotas",
        about="Limits of a tenant's use by day and month.",
        rank=50,
        path={"tenant_id": "Your tenant, or with platform scope any."},
    ),
    Area(
        name="usage",
        about="What a tenant used in a day or month.",
        rank=51,
        path={"tenant_id": "Your tenant, or with platform scope any."},
    ),
)
