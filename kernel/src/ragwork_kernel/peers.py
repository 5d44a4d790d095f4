"""The client's address: the TCP peer, or behind trusted proxies what they say of it."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeAlias

from aiohttp import web

from ragwork_kernel.findings import Finding

_HEADER = "X-Forwarded-For"
Address: TypeAlias = IPv4Address | IPv6Address


def unnamed_proxies(trusted: Sequence[str]) -> Finding:
    """What no trusted proxy means for a server that others than its own machine reach."""
    if trusted:
        return Finding(
            check="proxies", state="ok", detail=f"X-Forwarded-For is believed of {', '.join(trusted)}"
        )
    return Finding(
        check="proxies",
        state="warn",
        detail="TRUSTED_PROXIES is unset: behind a proxy all clients have one address, and share its limits",
        fix="name the proxy's network (CIDR); without a proxy this is as it should be",
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on ``host``."""
    address = _parsed(host)
    return host == "localhost" or (address is not None and address.is_loopback)


class Client:
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

    def trusts(self, text: str) -> bool:
        """Whether this peer speaks for its clients."""
        address = _parsed(text)
        return address is not None and any(address in network for network in self._trusted)


def _parsed(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
