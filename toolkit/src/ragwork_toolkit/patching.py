"""Bodies that change a thing: what is left out stays, and null is a value only where a field declares it.

Users: abac, agents, apikeys, quota, sso.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

import attrs


class _Unset(Enum):
    # A member of an enumeration has a JSON form, which bodies need: they are hashed for idempotency keys.
    UNSET = "unset"


#: Stands in a field that the request did not name.
UNSET: Final = _Unset.UNSET


def optional(field: Any) -> Any:
    """``field`` (made by ``ragwork_hooks.fields`` or ``attrs.field``) as one that may be left out, and is ``UNSET``
    then. Null is a value if the field's type has ``None``, else it is refused.

    For bodies that tell null from left out. Where both keep what is there, a field's default is ``None`` instead.
    """
    declared = attrs.fields(attrs.make_class("Declared", {"field": field})).field

    def check(instance: object, attribute: Any, value: Any) -> None:
        if value is not UNSET and declared.validator is not None:
            declared.validator(instance, attribute, value)

    return attrs.field(default=UNSET, kw_only=True, validator=check, metadata=declared.metadata)


def changes(body: attrs.AttrsInstance) -> Mapping[str, Any]:
    """What ``body`` changes, by the names of its fields. Null is among it where the field is ``optional``."""

    def named(field: "attrs.Attribute[Any]", value: object) -> bool:
        return value is not UNSET and (value is not None or field.default is UNSET)

    return attrs.asdict(body, recurse=False, filter=named)
