"""What the audit log is told of keys: the same by routes and by commands."""

from typing import Final

from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Role

CREATED: Final = "auth.api_key.created"
REVOKED: Final = "auth.api_key.revoked"
ROTATED: Final = "auth.api_key.rotated"
#: The first use of a key in an hour.
SUCCESS: Final = "auth.access.success"


def made(key_id: str, user_id: str, role: Role, name: str | None) -> AuditDetails:
    """A new key."""
    return of(key_id, user_id=user_id, role=role.label, name=name)


def of(key_id: str, **metadata: object) -> AuditDetails:
    """Something about a key."""
    return AuditDetails(resource_type="api_key", resource_id=key_id, metadata=metadata)
