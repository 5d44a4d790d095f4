"""Client secrets: named by tenants, kept by the operator, and bound to one tenant.

The operator sets ``SSO_CLIENT_SECRET_<NAME>`` to ``{"tenant_id": "...", "client_secret": "..."}``. The
tenant stands in the value, not in the name: ids may hold characters that names can't, and two ids could
become one name. A secret of another name, and one whose value is the secret alone, is bound to its tenant by
``SSO_CLIENT_SECRET_NAMES``.
"""

import json
import re
from collections.abc import Sequence
from typing import Final

from ragwork_hooks.errors import ConfigError
from ragwork_hooks.services import Secrets

_NAME: Final = re.compile(r"SSO_CLIENT_SECRET_[A-Z0-9_]{1,64}")
_BOUND: Final = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
_PARTS: Final = {"tenant_id", "client_secret"}


def bound_names(entries: Sequence[str]) -> frozenset[tuple[str, str]]:
    """Pairs of name and tenant. ``ConfigError`` for an entry that is not ``NAME=tenant``."""
    found = set()
    for entry in entries:
        name, _, tenant_id = entry.partition("=")
        if not _BOUND.fullmatch(name) or not tenant_id:
            raise ConfigError(
                "SSO_CLIENT_SECRET_NAMES",
                f"{entry!r} names no secret and tenant",
                "write NAME=tenant, separated by commas",
            )
        found.add((name, tenant_id))
    return frozenset(found)


class ClientSecrets:
    """Resolves references within one tenant. ``bound`` are the operator's pairs of name and tenant."""

    def __init__(self, secrets: Secrets, bound: frozenset[tuple[str, str]]) -> None:
        self._secrets = secrets
        self._bound = bound

    def resolve(self, tenant_id: str, ref: str) -> str | None:
        """The secret; ``None`` when there is none of that name for the tenant, whatever the reason."""
        bound = (ref, tenant_id) in self._bound
        text = self._secrets.value(ref) if bound or _NAME.fullmatch(ref) else None
        if not text:
            return None
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict) or set(found) != _PARTS:
            return text if bound else None
        secret = found["client_secret"]
        return secret if found["tenant_id"] == tenant_id and isinstance(secret, str) and secret else None
