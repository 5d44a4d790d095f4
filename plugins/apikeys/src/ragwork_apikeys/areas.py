"""Areas of API keys."""

from typing import Final

from ragwork_hooks.http import Area

AREAS: Final = (
    Area(
        name="api_keys",
        about="API keys of a tenant: how they are used, and when they end.",
        rank=40,
        path={"key_id": "The API key's id, not its secret."},
    ),
)
