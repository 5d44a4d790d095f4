"""Tenants' credentials for a vendor's service: their own, and what of the operator's they may reach."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Literal, TypeAlias

from ragwork_hooks.services import Secrets

Profile: TypeAlias = Literal["development", "test", "production"]


def secret_name(prefix: str, tenant_id: str, reference: str) -> str:
    """The name of the secret that a corpus' ``credentials_ref`` means to this tenant."""
    parts = (re.sub(r"[^A-Z0-9]", "_", part.upper()) for part in (tenant_id, reference))
    return "_".join((prefix, *parts))


def tenant_secret(secrets: Secrets, prefix: str, tenant_id: str, reference: str) -> Mapping[str, object]:
    """The JSON object in the tenant's secret ``secret_name(…)``.

    Two tenants' secrets may have one name, so its member ``tenant`` says whose it is, and another's looks
    the same as none. Raises ``LookupError`` whose text names the secret.
    """
    name = secret_name(prefix, tenant_id, reference)
    found = _object(secrets.value(name))
    if found.get("tenant") != tenant_id:
        raise LookupError(f"credentials_ref {reference!r}: no secret {name} of tenant {tenant_id!r} is set")
    return found


def may_share(shared: Collection[str], profile: Profile, tenant_id: str, store: str) -> bool:
    """Whether the operator's own credentials may be used on ``store`` for this tenant: ``shared`` holds
    ``<tenant>:<store>``, or ``*:<store>`` for every tenant. Nothing listed is nothing in production, else all.

    An entry's tenant ends at its first colon: a tenant whose id has one is only meant by ``*``.
    """
    if not shared:
        return profile != "production"
    pairs = {entry.partition(":")[::2] for entry in shared}
    return (tenant_id, store) in pairs or ("*", store) in pairs


def store_access_refusal(
    setting: str, shared: Collection[str], profile: Profile, tenant_id: str, store: str, *, kind: str
) -> str | None:
    """Why a corpus without credentials of its own may not search ``store``, which people call a ``kind``; ``None``
    when it may. ``setting`` is the name of what holds ``shared``.
    """
    if may_share(shared, profile, tenant_id, store):
        return None
    return (
        f"{kind} {store!r} is not shared with tenant {tenant_id!r}: set 'credentials_ref' of the corpus,"
        f" or {setting} to hold {tenant_id}:{store}"
    )


def _object(text: str | None) -> Mapping[str, object]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
