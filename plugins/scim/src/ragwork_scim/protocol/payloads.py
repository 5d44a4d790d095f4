"""Bodies of requests as checked resources: in the RFC's form, and in those that identity providers really send."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError
from scim2_models import Context, Error, SCIMException, ScimPolicy

from ragwork_scim.protocol.error_format import ScimType, payload_invalid
from ragwork_scim.protocol.models import EnterpriseUser, Group, Person

MAX_DEPTH: Final = 8
#: Entries of a list; a group's members come under ``members`` or as the ``value`` of an operation.
MAX_ENTRIES: Final = 1_000
MAX_MEMBERS: Final = 20_000
_OF_MEMBERS: Final = ("members", "value", "operations")
MAX_USER_NAME: Final = 320
MAX_EXTERNAL_ID: Final = 256
MAX_GROUP_NAME: Final = 256
#: RFC 7643 lets a service pass over what it does not know.
_LENIENT: Final = ScimPolicy(unknown=ScimPolicy.Unknown.ignore)


def user_of(body: Mapping[str, Any], context: Context) -> Person:
    """The user that a POST or PUT describes. Raises ``Problem`` 422 ``SCIM_PAYLOAD_INVALID``.

    ``context`` says which; a user that does not say whether it is active is.
    """
    plain = dict(_checked(body))
    active = _key(plain, "active")
    if active is None:
        plain["active"] = True
    else:
        plain[active] = unwrapped(plain[active])
    extension = _key(plain, str(EnterpriseUser.__schema__))
    if extension is not None and isinstance(plain[extension], dict):
        plain[extension] = with_manager(plain[extension])
    with refusing():
        return checked_user(Person.model_validate(plain, scim_ctx=context, scim_policy=_LENIENT))


def group_of(body: Mapping[str, Any], context: Context) -> tuple[Group, object]:
    """The group that a POST or PUT describes, and its list of members as it came: there may be tens of thousands.

    Raises ``Problem`` 422 ``SCIM_PAYLOAD_INVALID``.
    """
    plain = dict(_checked(body))
    key = _key(plain, "members")
    members = None if key is None else _objects(plain.pop(key))
    with refusing():
        group = Group.model_validate(plain, scim_ctx=context, scim_policy=_LENIENT)
    group.display_name = group_name(group.display_name)
    group.external_id = external_id(group.external_id)
    return group, members


def _objects(members: object) -> object:
    if members is None or (isinstance(members, list) and all(isinstance(one, dict) for one in members)):
        return members
    raise payload_invalid(
        "invalidValue", "members must be a list of objects, each with the id of a user as its value"
    )


def says_active(body: Mapping[str, Any]) -> bool:
    """Whether a body has the attribute at all."""
    return _key(body, "active") is not None


def checked_user(user: Person) -> Person:
    """The user with its own names within bounds. Raises ``Problem`` 422."""
    name = user.user_name
    if name is None or not name.strip():
        raise payload_invalid("invalidValue", "userName is empty")
    if len(name) > MAX_USER_NAME:
        raise payload_invalid("invalidValue", f"userName has more than {MAX_USER_NAME} characters")
    user.external_id = external_id(user.external_id)
    return user


def external_id(value: str | None) -> str | None:
    """A client's own id; an empty one is none."""
    if value is not None and len(value) > MAX_EXTERNAL_ID:
        raise payload_invalid("invalidValue", f"externalId has more than {MAX_EXTERNAL_ID} characters")
    return value or None


def group_name(value: object) -> str:
    """A group's name as text within bounds. Raises ``Problem`` 422."""
    if not isinstance(value, str) or not value.strip():
        raise payload_invalid("invalidValue", "displayName must be a text that is not empty")
    if len(value) > MAX_GROUP_NAME:
        raise payload_invalid("invalidValue", f"displayName has more than {MAX_GROUP_NAME} characters")
    return value


def unwrapped(value: object) -> object:
    """The one value of ``[{"value": x}]``, as older provisioning of Microsoft Entra writes single values."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        key = _key(value, "value")
        if key is not None:
            return value[key]
    return value


def manager(value: object) -> object:
    """A manager given as a bare id or in a list, as an object."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return {"value": value} if isinstance(value, str) else value


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Turns what scim2-models and pydantic raise into ``Problem`` 422 with its ``scimType``."""
    try:
        yield
    except ValidationError as error:
        raise _refusal(error) from None
    except SCIMException as error:
        if isinstance(error.__cause__, ValidationError):
            raise _refusal(error.__cause__) from None
        raise payload_invalid(_scim_type(error.scim_type), error.detail) from None


def _refusal(error: ValidationError) -> Exception:
    first = Error.from_validation_errors(error.errors(include_url=False))[0]
    return payload_invalid(_scim_type(first.scim_type), first.detail or "the body is not valid")


def _scim_type(found: str | None) -> ScimType:
    known: dict[str, ScimType] = {
        "invalidPath": "invalidPath",
        "invalidFilter": "invalidFilter",
        "invalidSyntax": "invalidSyntax",
        "mutability": "mutability",
        "noTarget": "noTarget",
    }
    return known.get(found or "", "invalidValue")


def with_manager(extension: Mapping[str, Any]) -> Mapping[str, Any]:
    """The enterprise extension with its manager as an object."""
    key = _key(extension, "manager")
    return extension if key is None else {**extension, key: manager(extension[key])}


def _key(body: Mapping[str, Any], name: str) -> str | None:
    """How ``body`` spells the attribute ``name``: names of attributes ignore case."""
    return next((key for key in body if key.lower() == name.lower()), None)


def _checked(body: Mapping[str, Any]) -> Mapping[str, Any]:
    check_texts(body)
    return body


def check_texts(value: object, depth: int = 0, name: str = "") -> None:
    """Refuse NUL in texts, attributes given twice, longer lists and more levels than any resource has."""
    if depth > MAX_DEPTH:
        raise payload_invalid("invalidSyntax", f"the body has more than {MAX_DEPTH} levels")
    if isinstance(value, str):
        if "\x00" in value:
            raise payload_invalid("invalidValue", "texts must not contain NUL characters")
    elif isinstance(value, Mapping):
        if len({key.lower() for key in value}) != len(value):
            raise payload_invalid("invalidSyntax", "names of attributes ignore case: one is given twice")
        for key, item in value.items():
            check_texts(key, depth + 1)
            check_texts(item, depth + 1, key)
    elif isinstance(value, list):
        most = MAX_MEMBERS if name.lower() in _OF_MEMBERS else MAX_ENTRIES
        if len(value) > most:
            raise payload_invalid(
                "invalidValue", f"a list has {len(value)} entries, at most {most} are taken"
            )
        for item in value:
            check_texts(item, depth + 1)
