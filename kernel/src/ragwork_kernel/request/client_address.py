"""The client's address and ours to it: what the connection says, or behind trusted proxies what they say of it."""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeAlias

from aiohttp import web

_HEADER = "X-Forwarded-For"
_AUTHORITY = re.compile(r"[A-Za-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
Address: TypeAlias = IPv4Address | IPv6Address


class ClientAddress:
    """Knows which peers are proxies. Without any, forwarded headers mean nothing."""

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        self._trusted = [ip_network(text) for text in trusted_proxies]

    def address(self, request: web.Request) -> str:
        """The last address in the chain that is no trusted proxy; ill-formed entries end the chain."""
        peer = request.remote or ""
        if not self._trusted or not self.trusts(peer):
            return peer
        hops = ",".join(request.headers.getall(_HEADER, [])).split(",")
        for hop in reversed([hop.strip() for hop in hops]):
            if _parsed(hop) is None:
                return peer
            peer = hop
            if not self.trusts(hop):
                return hop
        return peer

    def origin(self, request: web.BaseRequest) -> str:
        """Scheme and host that the client used. What is no host is left out, so the answer is a path then."""
        scheme, host = request.scheme, request.host
        if self._trusted and self.trusts(request.remote or ""):
            said = _last(request, "X-Forwarded-Proto").lower()
            scheme = said if said in ("http", "https") else scheme
            host = _last(request, "X-Forwarded-Host") or host
        return f"{scheme}://{host}" if _AUTHORITY.fullmatch(host) else ""

    def trusts(self, text: str) -> bool:
        """Whether this peer speaks for its clients."""
        address = _parsed(text)
        return address is not None and any(address in network for network in self._trusted)


def _last(request: web.BaseRequest, header: str) -> str:
    """What the nearest proxy said."""
    return ",".join(request.headers.getall(header, [])).rpartition(",")[2].strip()


def _parsed(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
