"""What adapters of outside services share: advice to wait, a tenant's own credentials, and what of the
operator's a tenant may reach.
"""

import json
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal, TypeAlias

from ragwork_hooks.plugin import Secrets

Profile: TypeAlias = Literal["development", "test", "production"]

#: Advice beyond this is an outage, not a pause.
MAX_RETRY_AFTER_S: Final = 3600.0


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a ``Retry-After`` header, which holds seconds or a date (RFC 9110, 10.2.3).

    0.0 to ``MAX_RETRY_AFTER_S``, ``None`` when there is no advice to understand. ``now`` has an offset.
    """
    advice = (value or "").strip()
    if advice.isascii() and advice.isdigit():
        return min(float(advice), MAX_RETRY_AFTER_S)
    try:
        until = parsedate_to_datetime(advice)
    except (ValueError, TypeError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)  # the format's "-0000": UTC, said by nobody in particular
    return min(max((until - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


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


def _object(text: str | None) -> Mapping[str, object]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
