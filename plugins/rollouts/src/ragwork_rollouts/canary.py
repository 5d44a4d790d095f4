"""Which tenants a canary reaches."""

import hashlib


def reaches(canary: str, percentage: int, tenant_id: str) -> bool:
    """Whether ``tenant_id`` is among the first ``percentage`` of 100 slots of ``canary``.

    A tenant's slot never changes, so raising the percentage only adds tenants; it differs from canary
    to canary, so no tenant is always the first.
    """
    digest = hashlib.sha256(f"{canary}/{tenant_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 100 < percentage
