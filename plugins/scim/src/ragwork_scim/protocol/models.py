"""What a user and a group are here: the schemas that are published, and by which everything is read and checked.

Of RFC 7643's user those parts are left out that say what somebody may do (roles, entitlements) or prove who
somebody is (password, certificates): rights come from groups that an admin has bound to roles, and passwords
stay with the identity provider.
"""

from typing import Annotated, Any, TypeAlias

from pydantic import Field
from scim2_models import (
    URN,
    Address,
    CaseExact,
    ComplexAttribute,
    ExtensibleStringEnum,
    Extension,
    External,
    GroupMembership,
    Mutability,
    Name,
    PhoneNumber,
    Reference,
    Required,
    Resource,
    Returned,
    Uniqueness,
)
from scim2_models.resources.resource import AnyExtension


class Email(ComplexAttribute):
    """An address. Any text: directories hold addresses such as ann@corp.local, which public mail refuses."""

    class Type(ExtensibleStringEnum):
        """What an address is for."""

        work = "work"
        home = "home"
        other = "other"

    value: str | None = None
    """The address itself."""
    display: str | None = None
    """The address as shown to people."""
    type: Type | None = None
    """What the address is for."""
    primary: bool | None = None
    """Whether it is the preferred one."""


class Manager(ComplexAttribute):
    """Whom a user reports to. Identity providers send the id alone, so the reference is not asked for."""

    value: Annotated[str | None, CaseExact.true] = None
    """The id of the manager."""
    ref: Reference["User"] | None = Field(None, serialization_alias="$ref", validation_alias="$ref")  # type: ignore[type-arg]
    """Where the manager is found."""
    display_name: Annotated[str | None, Mutability.read_only] = None
    """The manager's name."""


class EnterpriseUser(Extension):
    """Enterprise User"""

    __schema__ = URN("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User")

    employee_number: str | None = None
    """What the organization identifies the person by."""
    cost_center: str | None = None
    """The cost center."""
    organization: str | None = None
    """The organization."""
    division: str | None = None
    """The division."""
    department: str | None = None
    """The department."""
    manager: Manager | None = None
    """Whom the person reports to."""


class User(Resource[AnyExtension]):
    """User Account"""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:User")

    user_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    """What the person signs in with; unique in the tenant, whatever its case."""
    name: Name | None = None
    """The parts of the person's name."""
    display_name: str | None = None
    """The name shown to people."""
    nick_name: str | None = None
    """How the person is called."""
    profile_url: Reference[External] | None = None
    """A page about the person."""
    title: str | None = None
    """The person's title."""
    user_type: str | None = None
    """The person's relation to the organization."""
    preferred_language: str | None = None
    """The person's language."""
    locale: str | None = None
    """The person's place, for dates and numbers."""
    timezone: str | None = None
    """The person's time zone."""
    # Required, so that it can't be removed: whether somebody may come in is never left open.
    active: Annotated[bool | None, Required.true] = None
    """Whether the person may use the service; true when a new user does not say."""
    emails: list[Email] | None = None
    """The person's addresses of mail."""
    phone_numbers: list[PhoneNumber] | None = None
    """The person's numbers."""
    addresses: list[Address] | None = None
    """The person's places."""
    groups: Annotated[list[GroupMembership] | None, Mutability.read_only] = None
    """The groups that have the person as a member."""


class Member(ComplexAttribute):
    """A user in a group. Groups are no members of groups here."""

    value: Annotated[str | None, Mutability.immutable, CaseExact.true] = None
    """The id of the user."""
    ref: Annotated[Reference["User"] | None, Mutability.immutable] = Field(  # type: ignore[type-arg]
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    """Where the user is found."""
    type: Annotated[str | None, Mutability.immutable] = Field(None, examples=["User"])
    """What kind of member it is."""
    display: Annotated[str | None, Mutability.read_only, Returned.request] = None
    """The user's name."""


class Group(Resource[Any]):
    """Group"""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:Group")

    display_name: Annotated[str | None, Required.true] = None
    """The group's name."""
    members: list[Member] | None = None
    """The users in the group."""


#: A user as it is stored and served.
Person: TypeAlias = User[EnterpriseUser]
