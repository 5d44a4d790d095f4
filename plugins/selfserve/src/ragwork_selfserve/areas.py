"""Areas of self-service."""

from typing import Final

from ragwork_hooks.http import Area

AREAS: Final = (
    Area(
        name="selfserve",
        about="Your own tenant: API keys, usage and plan, for its administrators.",
        rank=20,
        path={"key_id": "The API key's id, not its secret."},
    ),
)
