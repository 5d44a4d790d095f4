"""The one outbound HTTP client: every address vetted and pinned, no redirects, bounded in bytes and time.

The connection is made to the very addresses that were vetted: a name that resolves otherwise a moment
later changes nothing. Where one address of a name is forbidden, the whole name is.
"""

import asyncio
import re
import socket
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.services import EgressResponse
from yarl import URL

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

# IANA special-purpose registries, and the cloud service address that is not in them (168.63.129.16).
_FORBIDDEN_V4: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
_GLOBAL_V6: Final = IPv6Network("2000::/3")
# Protocol assignments with Teredo, documentation, 6to4: special or tunnels to an IPv4 address.
_FORBIDDEN_V6: Final = tuple(
    IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
_READ_BYTES: Final = 65_536
# What the client itself decides; a caller's word on these could split or reroute a request.
_OWN_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect",
     "accept-encoding", "proxy-authorization", "proxy-connection", "keep-alive"}
)  # fmt: skip
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\uffff]*")


class AddressPolicy:
    """Which addresses may be reached: public ones, and the operator's allow-list."""

    def __init__(self, allow_private: Sequence[str]) -> None:
        """``allow_private`` holds CIDR texts; raises ``ValueError`` for an ill-formed one."""
        self._allowed = tuple(ip_network(text) for text in allow_private)

    def permits(self, address: Address) -> bool:
        """Whether a connection to ``address`` may be made."""
        judged = _effective(address)
        if any(judged in network for network in self._allowed if network.version == judged.version):
            return True
        if isinstance(judged, IPv4Address):
            return not any(judged in network for network in _FORBIDDEN_V4)
        return judged in _GLOBAL_V6 and not any(judged in network for network in _FORBIDDEN_V6)


class VettingResolver(AbstractResolver):
    """Resolves through ``inner`` and gives only what the policy permits."""

    def __init__(self, inner: AbstractResolver, policy: AddressPolicy) -> None:
        self._inner = inner
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        for result in found:
            if not self._policy.permits(ip_address(result["host"])):
                raise refused(f"{host} resolves to an address that may not be reached")
        return found

    async def close(self) -> None:
        await self._inner.close()


class EgressClient:
    """Implements ``ragwork_hooks.services.Egress``."""

    def __init__(self, allow_private: Sequence[str], resolver: AbstractResolver | None = None) -> None:
        """``allow_private`` are CIDR texts; ``resolver`` replaces the system's."""
        self._policy = AddressPolicy(allow_private)
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: Literal["GET", "POST", "PUT", "DELETE"],
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float = 10.0,
        max_bytes: int = 1_048_576,
    ) -> EgressResponse:
        target = self._target(url)
        checked = _headers(headers or {})
        try:
            async with asyncio.timeout(timeout_s):
                async with self._opened().request(
                    method, target, headers=checked, data=body, allow_redirects=False
                ) as response:
                    return EgressResponse(
                        status=response.status,
                        headers=response.headers,
                        body=await _read(response, max_bytes),
                    )
        except aiohttp.InvalidURL as error:
            raise refused("the address is ill-formed") from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _unavailable(f"{target.host} {_what_happened(error)}") from error

    async def close(self) -> None:
        """Close what is open. Idempotent."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _target(self, url: str) -> URL:
        try:
            target = URL(url)
            host, _ = target.host, target.port
        except ValueError as error:
            raise refused("the address is ill-formed") from error
        if target.scheme not in {"http", "https"} or not host:
            raise refused("only http and https addresses with a host are called")
        if target.user is not None or target.password is not None:
            raise refused("credentials don't belong into an address")
        try:
            literal = ip_address(host)
        except ValueError:
            return target  # a name: the resolver vets what it stands for
        if not self._policy.permits(literal):
            raise refused(f"{host} may not be reached")
        return target

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=VettingResolver(self._resolver or aiohttp.ThreadedResolver(), self._policy),
                use_dns_cache=False,
                force_close=True,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),  # ``request`` bounds the whole call
                headers={"Accept-Encoding": "identity", "User-Agent": "ragwork"},
            )
        return self._session


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """The body. Encoded ones were not asked for and could unpack to any size, so they are refused."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise _unavailable("the answer is encoded although it was asked for plain")
    body = bytearray()
    async for chunk in response.content.iter_chunked(_READ_BYTES):
        body += chunk
        if len(body) > max_bytes:
            raise _unavailable(f"the answer is larger than {max_bytes} bytes")
    return bytes(body)


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    for name, value in given.items():
        if name.lower() in _OWN_HEADERS:
            raise refused(f"the header {name} is set by the client itself")
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise refused("a header's name or value holds characters that headers can't carry")
    return dict(given)


def _effective(address: Address) -> Address:
    """The IPv4 address inside a mapped or NAT64 one, else ``address``."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def refused(message: str) -> ProviderError:
    """What policy forbids; another attempt is pointless."""
    return ProviderError("EGRESS_REFUSED", message)


def _what_happened(error: Exception) -> str:
    """In words: the error's own text may repeat the URL, and with it a secret."""
    if isinstance(error, TimeoutError):
        return "did not answer in time"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "can't be reached"
    return "did not answer as it should"


def _unavailable(message: str) -> ProviderError:
    return ProviderError("INTEGRATION_UNAVAILABLE", message, retryable=True)
