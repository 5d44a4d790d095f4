"""What conditions may speak of: the declared attributes, their values, and the facts of one decision."""

import re
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import Resource

Scalar: TypeAlias = str | int | float | bool
Value: TypeAlias = Scalar | tuple[Scalar, ...]
#: Attribute path → value. An attribute that is not there is unknown.
Facts: TypeAlias = Mapping[str, Value]
Type: TypeAlias = Literal["text", "boolean", "texts"]

LABEL: Final = "resource.labels."
TIME: Final = "request.time"
_LABEL_KEY: Final = re.compile(r"[^\x00-\x1f\x7f]{1,128}")

#: Attributes of a document alone; other resource types are judged before a row is loaded.
DOCUMENT_ONLY: Final[Mapping[str, Type]] = MappingProxyType(
    {"resource.id": "text", "resource.owner": "text", "resource.permissions": "texts"}
)
DECLARED: Final[Mapping[str, Type]] = MappingProxyType(
    {
        "principal.id": "text",
        "principal.role": "text",
        "principal.tenant_id": "text",
        "principal.groups": "texts",
        "principal.kind": "text",
        "principal.platform": "boolean",
        "resource.type": "text",
        "resource.tenant_id": "text",
        TIME: "text",
        "request.action": "text",
        **DOCUMENT_ONLY,
    }
)


def is_label(path: str) -> bool:
    """Whether ``path`` names a label; all that follows the prefix is its key."""
    return path.startswith(LABEL) and _LABEL_KEY.fullmatch(path[len(LABEL) :]) is not None


def is_declared(path: str) -> bool:
    """Whether a condition may name ``path``."""
    return path in DECLARED or is_label(path)


def of_document_only(path: str) -> bool:
    """Whether only documents have the attribute."""
    return path in DOCUMENT_ONLY or is_label(path)


def principal_facts(principal: Principal) -> dict[str, Value]:
    """The caller's attributes."""
    return {
        "principal.id": principal.user_id,
        "principal.role": principal.role.label,
        "principal.tenant_id": principal.tenant_id,
        "principal.groups": tuple(sorted(principal.groups)),
        "principal.kind": principal.kind,
        "principal.platform": principal.platform,
    }


def request_facts(action: str, now: datetime) -> dict[str, Value]:
    """The request's attributes; ``now`` is aware and in UTC."""
    return {TIME: now.isoformat(timespec="seconds"), "request.action": action}


def resource_facts(resource_type: str, tenant_id: str, resource: Resource | None) -> dict[str, Value]:
    """The attributes of what is acted on; without a row only its type and tenant are known."""
    facts: dict[str, Value] = {"resource.type": resource_type, "resource.tenant_id": tenant_id}
    if resource is None:
        return facts
    facts["resource.id"] = resource.id
    facts["resource.permissions"] = tuple(sorted(resource.permissions))
    if resource.owner is not None:
        facts["resource.owner"] = resource.owner
    for key, value in resource.labels.items():
        facts[LABEL + key] = value
    return facts
