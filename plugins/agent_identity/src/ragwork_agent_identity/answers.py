"""Answers that the routes of agent identity share."""

from typing import Any

from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.http import File, Request, Response


def noted(data: object, kind: str, identifier: str, *, replay: object = None, **metadata: object) -> Response:
    """An answer whose audit record names what was acted on. ``replay`` stands in for a shown secret."""
    note = AuditDetails(resource_type=kind, resource_id=identifier, metadata=metadata)
    return Response(data=data, audit=note, replay=replay)


def conditional(request: Request[Any, Any], document: bytes, etag: str, max_age_s: int) -> File:
    """``document``, or 304 for who has it."""
    headers = {"ETag": etag, "Cache-Control": f"public, max-age={max_age_s}"}
    asked = request.headers.get("If-None-Match") or ""
    held = {tag.strip().removeprefix("W/") for tag in asked.split(",")}
    if etag in held or "*" in held:
        return File(data=b"", mime="application/json", status=304, headers=headers)
    return File(data=document, mime="application/json", headers=headers)
