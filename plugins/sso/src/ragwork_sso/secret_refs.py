"""Client secrets: named by tenants, kept by the operator, and bound to one tenant.

The operator sets ``SSO_CLIENT_SECRET_<NAME>`` to ``{"tenant_id": "...", "client_secret": "..."}``. The
tenant stands in the value, not in the name: ids may hold characters that names can't, and two ids could
become one name.
"""

import json
import re
from typing import Final

from ragwork_hooks.plugin import Secrets

_NAME: Final = re.compile(r"SSO_CLIENT_SECRET_[A-Z0-9_]{1,64}")
_PARTS: Final = {"tenant_id", "client_secret"}


class ClientSecrets:
    """Resolves references within one tenant."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def resolve(self, tenant_id: str, ref: str) -> str | None:
        """The secret; ``None`` when there is none of that name for the tenant, whatever the reason."""
        text = self._secrets.value(ref) if _NAME.fullmatch(ref) else None
        if text is None:
            return None
        try:
            found = json.loads(text)
        except ValueError:
            return None
        if not isinstance(found, dict) or set(found) != _PARTS or found["tenant_id"] != tenant_id:
            return None
        secret = found["client_secret"]
        return secret if isinstance(secret, str) and secret else None
