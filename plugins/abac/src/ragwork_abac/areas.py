"""Areas of attribute-based policies."""

from typing import Final

from ragwork_hooks.http import Area

AREAS: Final = (
    Area(
        name="authz",
        about="Policies over roles, labels, time and place; what is denied wins.",
        rank=41,
        path={"policy_id": "The policy's id."},
    ),
)
