"""Addresses that others give us: a provider's endpoints, and where a browser goes after its login.

Both are matched against one narrow form and taken only whole. Whatever parsers could read differently
(user information, backslashes, control characters, percent signs or letters beyond ASCII in the host)
has no place in it.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qsl, urlencode

from ragwork_hooks.errors import ConfigError, Problem

from ragwork_sso.problems import invalid

#: What this server adds to the address that a browser is sent back to: an application turns it into a session.
_OWN: Final = ("sso_provider", "sso_code")
_LONGEST: Final = 2048
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST: Final = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])"
_AUTHORITY: Final = re.compile(rf"({_HOST})(?::([0-9]{{1,5}}))?")
# Path and query as RFC 3986 has them; no fragment.
_PATH: Final = r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?"
_QUERY: Final = r"(?:\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?"
_URL: Final = re.compile(rf"(https?)://({_AUTHORITY.pattern})({_PATH})({_QUERY})")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


def endpoint(field: str, url: str, *, production: bool, query: bool = True) -> str:
    """``url`` if a provider may have it. ``Problem`` 422 names ``field``.

    Literal addresses that lead nowhere outside are refused at once; what a name stands for is vetted by
    the egress client with every connection.
    """
    match = _URL.fullmatch(url) if len(url) <= _LONGEST else None
    if match is None:
        raise invalid(field, "must be a plain http or https address without user, fragment or odd characters")
    if production and match[1] != "https":
        raise invalid(field, "must be https")
    if match[6] and not query:
        raise invalid(field, "must have no query")
    if _leads_inside(match[3], production):
        raise invalid(field, f"{match[3]} may not be reached")
    return url


def _leads_inside(host: str, production: bool) -> bool:
    """Outside production a provider on this machine or in the private network is fine; metadata never is."""
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return production
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        # 127.1, 0x7f.1 and 2130706433 are addresses to some resolvers and names to others.
        return re.fullmatch(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)", host.rpartition(".")[2]) is not None
    mapped = getattr(address, "ipv4_mapped", None) or address
    if mapped.is_link_local or mapped.is_multicast or mapped.is_unspecified:
        return True
    return production and not mapped.is_global


def base_url(setting: str, url: str) -> str:
    """The operator's own address without a slash at its end. Raises ``ConfigError``."""
    match = _URL.fullmatch(url)
    if match is None or match[6]:
        raise ConfigError(setting, f"{url!r} is not an address", "write it like https://rag.example.com")
    return url.rstrip("/")


def plain_authority(text: str) -> bool:
    """Whether ``text`` is a host, with or without a port, and nothing else."""
    return _AUTHORITY.fullmatch(text) is not None


def with_query(url: str, **parameters: str) -> str:
    """``url`` with ``parameters`` after those that it has."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"


def own_parameters(provider_id: str, code: str) -> dict[str, str]:
    """What an application exchanges for a session."""
    return dict(zip(_OWN, (provider_id, code), strict=True))


class ReturnAddresses:
    """Where a browser may be sent after a login: exactly the hosts that the operator lists."""

    def __init__(self, hosts: Iterable[str], *, production: bool) -> None:
        """``hosts`` are ``host`` (the scheme's own port) or ``host:port``. Raises ``ConfigError``."""
        self._allowed = frozenset(_entry(host) for host in hosts)
        self._production = production

    def check(self, url: str) -> str:
        """``url`` itself. ``Problem`` 400 unless it leads to an allowed host."""
        match = _URL.fullmatch(url) if len(url) <= _LONGEST else None
        if match is None:
            raise _refused("must be a plain address like https://app.example.com/after-login")
        scheme, host, port = match[1], match[3].lower(), match[4]
        if self._production and scheme != "https":
            raise _refused("must be https")
        own_port = port in (None, _DEFAULT_PORTS[scheme])
        taken = [name for name, _ in parse_qsl(match[6][1:], keep_blank_values=True) if name in _OWN]
        if taken:
            raise _refused(f"has a parameter {taken[0]}, which this server adds itself")
        if (host if own_port else f"{host}:{port}") not in self._allowed:
            raise _refused("leads to a host that SSO_ALLOWED_REDIRECT_HOSTS does not list")
        return url


def _entry(text: str) -> str:
    entry = text.strip().lower()
    if not plain_authority(entry):
        raise ConfigError(
            "SSO_ALLOWED_REDIRECT_HOSTS", f"{text!r} is not a host", "write it like app.example.com"
        )
    return entry


def _refused(reason: str) -> Problem:
    return Problem("BAD_REQUEST", f"return_to {reason}")
