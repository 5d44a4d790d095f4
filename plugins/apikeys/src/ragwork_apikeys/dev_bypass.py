"""The development bypass: a loopback caller without a token says who it is."""

import ipaddress
import re
from collections.abc import Collection
from typing import Final

from ragwork_hooks.audit import PLATFORM_TENANT
from ragwork_hooks.auth import Credential, Headers, Principal, Role
from ragwork_hooks.errors import Problem
from ragwork_hooks.storage import Transaction

from ragwork_apikeys.key_check import unauthorized

#: What proxies and load balancers add. One of them is enough: it may be the only one that knows the caller.
FORWARDING: Final = (
    "forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port",
    "x-forwarded-server", "x-forwarded", "forwarded-for", "x-real-ip", "x-client-ip", "x-cluster-client-ip",
    "x-original-forwarded-for", "x-original-host", "x-envoy-external-address", "true-client-ip", "cf-connecting-ip",
    "fastly-client-ip", "x-azure-clientip", "x-appengine-user-ip",
)  # fmt: skip
CREDENTIAL_ID: Final = "dev-bypass"
_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}")


class DevBypass:
    """``X-Tenant-Id`` and ``X-Role`` → principal. Implements ``ragwork_hooks.auth.Authenticator``.

    ``header`` is the one that carries tokens: a request that has it is none of this gate's business.
    """

    def __init__(self, header: str) -> None:
        self.name = CREDENTIAL_ID
        self._header = header.lower()

    async def authenticate(self, credential: Credential) -> Principal | None:
        carries_token = credential.bearer is not None or credential.headers.get(self._header) is not None
        if carries_token or forwarded(credential.headers) or not is_loopback(credential.peer):
            return None
        tenant_id = credential.headers.get("x-tenant-id")
        if tenant_id is None or tenant_id == PLATFORM_TENANT or not _TENANT.fullmatch(tenant_id):
            raise unauthorized("the development bypass needs a well-formed X-Tenant-Id")
        try:
            role = Role.parse(credential.headers.get("x-role") or Role.ADMIN.label)
        except ValueError as error:
            raise Problem("AUTH_INVALID_ROLE", f"X-Role: {error}") from error
        return Principal(
            tenant_id=tenant_id,
            user_id=f"dev-{tenant_id}",
            credential_id=CREDENTIAL_ID,
            kind="api_key",
            role=role,
        )


class BypassRoster:
    """Implements ``ragwork_hooks.auth.Roster`` for the caller that the bypass makes of everybody."""

    name = "apikeys.bypass"
    kinds = frozenset({"user", "api_key"})

    async def known(self, tx: Transaction, kind: str, ids: Collection[str]) -> frozenset[str]:
        """See ``Roster``."""
        return frozenset(ids) & {f"dev-{tx.tenant_id}" if kind == "user" else CREDENTIAL_ID}

    async def active(self, tx: Transaction, kind: str, ids: Collection[str]) -> frozenset[str]:
        """See ``Roster``."""
        return await self.known(tx, kind, ids)

    async def nearest(self, tx: Transaction, kind: str, wanted: str) -> str | None:
        """Nobody means the bypass by mistake."""
        del tx, kind, wanted
        return None


def forwarded(headers: Headers) -> bool:
    """Whether a proxy says that it passes the request on: then the caller is somebody else, wherever it is."""
    return any(headers.get(name) is not None for name in FORWARDING)


def is_loopback(peer: str) -> bool:
    """Whether ``peer`` is this machine: 127.0.0.0/8, ::1, or the former mapped into IPv6."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
