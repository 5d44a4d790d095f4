"""Where resources are found. Addresses are absolute paths: right behind every proxy and under every name."""

from datetime import datetime
from typing import Final

BASE: Final = "/v1/scim/v2"
USERS: Final = f"{BASE}/Users/"
GROUPS: Final = f"{BASE}/Groups/"


def etag(version: int) -> str:
    """The weak entity tag of a resource's version."""
    return f'W/"{version}"'


def meta(kind: str, prefix: str, resource_id: str, version: int, times: tuple[datetime, datetime]) -> object:
    """A resource's ``meta``; ``times`` are those of creation and of the last change."""
    return {
        "resourceType": kind,
        "created": times[0],
        "lastModified": times[1],
        "location": prefix + resource_id,
        "version": etag(version),
    }
