"""Bodies of SCIM requests, for the API's description: what RFC 7643 and RFC 7644 name and this server keeps.

Handlers take bodies as they are, since the standard has a server ignore what it does not keep.
"""

from typing import Final

import attrs
from ragwork_hooks.http import Scheme

SCIM_TOKEN: Final = Scheme(
    name="ScimToken",
    fields={
        "type": "http",
        "scheme": "bearer",
        "description": "A token for provisioning, as the operation provisioning_tokens_create makes it.",
    },
)


@attrs.frozen(kw_only=True)
class ScimEmail:
    """An address."""

    #: The address. Example: "ada@example.com"
    value: str
    #: Whether it is the main one. Example: true
    primary: bool = False


@attrs.frozen(kw_only=True)
class ScimUserBody:
    """A person."""

    #: The URNs of what it holds. Example: ["urn:ietf:params:scim:schemas:core:2.0:User"]
    schemas: list[str]
    #: What the identity provider calls the person; unique. Example: "ada@example.com"
    userName: str
    #: The person's id there. Example: "00u1abcd"
    externalId: str | None = None
    #: What people call them. Example: "Ada"
    displayName: str | None = None
    #: Addresses. Example: [{"value": "ada@example.com", "primary": true}]
    emails: list[ScimEmail] | None = None
    #: Whether they may come in. Example: true
    active: bool = True


@attrs.frozen(kw_only=True)
class ScimMember:
    """A member of a group."""

    #: The `id` of a user. Example: "0d9c8b7a-6f5e-4d3c-8b2a-1f0e9d8c7b6a"
    value: str


@attrs.frozen(kw_only=True)
class ScimGroupBody:
    """A group."""

    #: The URNs of what it holds. Example: ["urn:ietf:params:scim:schemas:core:2.0:Group"]
    schemas: list[str]
    #: What the identity provider calls it; unique. Example: "Editors"
    displayName: str
    #: Its id there. Example: "00g1abcd"
    externalId: str | None = None
    #: Who is in it.
    members: list[ScimMember] | None = None


@attrs.frozen(kw_only=True)
class ScimOperation:
    """One change."""

    #: `add`, `replace` or `remove`. Example: "replace"
    op: str
    #: What to change; absent when `value` names the attributes. Example: "active"
    path: str | None = None
    #: What to set. Example: false
    value: object = None


@attrs.frozen(kw_only=True)
class ScimPatchBody:
    """Changes, made all or none."""

    #: The URN of changes. Example: ["urn:ietf:params:scim:api:messages:2.0:PatchOp"]
    schemas: list[str]
    #: The changes, in order.
    Operations: list[ScimOperation]


@attrs.frozen(kw_only=True)
class ScimSearchBody:
    """A question for a list."""

    #: The URN of questions. Example: ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]
    schemas: list[str]
    #: A filter of RFC 7644 §3.4.2.2. Example: "userName eq \"ada@example.com\""
    filter: str | None = None
    #: The first entry, from 1. Example: 1
    startIndex: int = 1
    #: How many entries at most. Example: 10
    count: int | None = None
