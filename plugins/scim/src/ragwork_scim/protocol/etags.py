"""Entity tags: whether a client knows what it changes."""

from ragwork_hooks.auth import Headers
from ragwork_hooks.errors import Problem

from ragwork_scim.protocol.urls import etag


def require_version(headers: Headers, version: int) -> None:
    """``If-Match``: raises ``Problem`` 412 unless it names the version that is there."""
    sent = headers.get("If-Match")
    if sent is not None and not _names_version(sent, version):
        raise Problem("PRECONDITION_FAILED", "the resource has changed since; read it again", status=412)


def is_known(headers: Headers, version: int) -> bool:
    """``If-None-Match``: whether the client has this version."""
    sent = headers.get("If-None-Match")
    return sent is not None and _names_version(sent, version)


def _names_version(sent: str, version: int) -> bool:
    # Tags of versions are weak and compared weakly; a client may have lost the mark of weakness.
    tags = {tag.strip().removeprefix("W/") for tag in sent.split(",")}
    return "*" in tags or etag(version).removeprefix("W/") in tags
