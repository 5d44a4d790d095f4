"""Areas of single sign-on."""

from typing import Final

from ragwork_hooks.http import Area

AREAS: Final = (
    Area(
        name="sso",
        about="Log in with the tenant's own identity provider.",
        rank=22,
        path={"provider_id": "The identity provider's id."},
    ),
    Area(
        name="identity",
        about="Identity providers, the people who come from them, and their roles.",
        rank=42,
        path={
            "provider_id": "The identity provider's id.",
            "user_id": "The person's id.",
        },
    ),
)
