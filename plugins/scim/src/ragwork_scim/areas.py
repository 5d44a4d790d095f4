"""Areas of provisioning."""

from typing import Final

from ragwork_hooks.http import Area

AREAS: Final = (
    Area(
        name="provisioning",
        about="Tokens for provisioning, and the roles that provisioned groups give.",
        rank=43,
        path={"group_id": "The group's id."},
    ),
    Area(
        name="scim",
        about="SCIM 2.0 (RFC 7643, RFC 7644): how an identity provider keeps people and groups in step. "
        "Its own token, its own media type, no envelope.",
        rank=82,
        path={
            "user_id": "The user's `id`.",
            "group_id": "The group's `id`.",
            "urn": "The schema's URN.",
            "name": "The name of a resource type.",
            "endpoint": "Anything else.",
        },
    ),
)
