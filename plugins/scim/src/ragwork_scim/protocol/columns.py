"""Where each attribute of a resource lies in Postgres, for filters and sorting."""

from collections.abc import Mapping
from typing import Final

import attrs

from ragwork_scim.protocol.models import EnterpriseUser, Group
from ragwork_scim.protocol.urls import GROUPS, USERS


@attrs.frozen(kw_only=True)
class Rows:
    """The values of a multi-valued attribute as rows. ``source`` is what stands behind FROM.

    ``part`` maps a lower-case sub-attribute to its SQL; a ``document`` has JSON objects ``e.v`` instead.
    ``order`` is that of the values.
    """

    source: str
    part: Mapping[str, str] = attrs.field(factory=dict)
    document: bool = False
    order: str = "1"


@attrs.frozen(kw_only=True)
class Columns:
    """One resource type. ``scalars`` and ``many`` are keyed by the attribute's lower-case path; what is in
    neither lies in the documents ``folded`` and ``exact``, where a resource has them.
    """

    table: str
    alias: str
    scalars: Mapping[str, str]
    many: Mapping[str, Rows]
    folded: str | None = None
    exact: str | None = None


def _meta(alias: str, kind: str, prefix: str) -> dict[str, str]:
    return {
        "meta.resourcetype": f"'{kind}'",
        "meta.created": f"{alias}.created_at",
        "meta.lastmodified": f"{alias}.modified_at",
        "meta.location": f"('{prefix}' || {alias}.id)",
        "meta.version": f"('W/\"' || {alias}.version || '\"')",
    }


USER_COLUMNS: Final = Columns(
    table="scim.users",
    alias="u",
    folded="u.folded",
    exact="u.doc",
    scalars={
        "id": "u.id",
        "externalid": "u.external_id",
        "username": "u.user_key",
        "active": "u.active",
        **_meta("u", "User", USERS),
    },
    many={
        "schemas": Rows(source="jsonb_array_elements_text(u.folded->'schemas') AS s(v)", part={"": "s.v"}),
        "groups": Rows(
            source="scim.members m JOIN scim.groups g ON g.tenant_id = m.tenant_id AND g.id = m.group_id"
            " WHERE m.tenant_id = u.tenant_id AND m.user_id = u.id",
            part={
                "value": "g.id",
                "display": "g.display_key",
                "$ref": f"('{GROUPS}' || g.id)",
                "type": "'direct'",
            },
            order="g.created_at, g.id",
        ),
    },
)
GROUP_COLUMNS: Final = Columns(
    table="scim.groups",
    alias="g",
    scalars={
        "id": "g.id",
        "externalid": "g.external_id",
        "displayname": "g.display_key",
        **_meta("g", "Group", GROUPS),
    },
    many={
        "schemas": Rows(source=f"(VALUES ('{str(Group.__schema__).lower()}')) AS s(v)", part={"": "s.v"}),
        "members": Rows(
            source="scim.members m JOIN scim.users u ON u.tenant_id = m.tenant_id AND u.id = m.user_id"
            " WHERE m.tenant_id = g.tenant_id AND m.group_id = g.id",
            part={
                "value": "u.id",
                "display": "COALESCE(u.folded->>'displayName', u.user_key)",
                "$ref": f"('{USERS}' || u.id)",
                "type": "'user'",
            },
            order="u.created_at, u.id",
        ),
    },
)
EXTENSION: Final = str(EnterpriseUser.__schema__)
