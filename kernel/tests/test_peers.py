"""Whose address it is: forwarded headers count only from proxies the operator trusts."""

from unittest.mock import Mock

import pytest
from multidict import CIMultiDict
from ragwork_hooks.errors import ConfigError
from ragwork_kernel.base.config import KernelConfig
from ragwork_kernel.request.client_address import ClientAddress


def request(remote: str, *forwarded: str) -> Mock:
    headers = CIMultiDict([("X-Forwarded-For", value) for value in forwarded])
    return Mock(remote=remote, headers=headers)


@pytest.mark.parametrize(("remote", "forwarded", "client"), [
    ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
    ("10.0.0.1", ["6.6.6.6, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
    ("10.0.0.1", ["6.6.6.6", "203.0.113.9"], "203.0.113.9"),
    ("10.0.0.1", ["6.6.6.6, nonsense"], "10.0.0.1"),
    ("10.0.0.1", ["6.6.6.6, nonsense, 10.0.0.2"], "10.0.0.2"),
    ("10.0.0.1", [], "10.0.0.1"),
    ("203.0.113.9", ["6.6.6.6"], "203.0.113.9"),
    ("10.0.0.1", ["10.0.0.3"], "10.0.0.3"),
])  # fmt: skip
def test_the_last_untrusted_hop_is_the_client(remote: str, forwarded: list[str], client: str) -> None:
    assert ClientAddress(("10.0.0.0/8",)).address(request(remote, *forwarded)) == client


@pytest.mark.parametrize(
    ("remote", "host", "proto", "forwarded_host", "origin"),
    [
        ("203.0.113.9", "127.0.0.1:8123", None, None, "http://127.0.0.1:8123"),
        ("203.0.113.9", "rag.example", "https", "evil.example", "http://rag.example"),
        ("10.0.0.1", "internal:8000", "https", "rag.example", "https://rag.example"),
        ("10.0.0.1", "internal:8000", "https", None, "https://internal:8000"),
        ("10.0.0.1", "internal:8000", "ftp", "evil.example, rag.example:8443", "http://rag.example:8443"),
        ("10.0.0.1", "internal:8000", "https", "rag.example/x?y#<script>", ""),
        ("203.0.113.9", "[::1]:8000", None, None, "http://[::1]:8000"),
        ("203.0.113.9", "a b", None, None, ""),
    ],
)
def test_the_origin_is_as_the_client_addressed_us(
    remote: str, host: str, proto: str | None, forwarded_host: str | None, origin: str
) -> None:
    said = {"X-Forwarded-Proto": proto, "X-Forwarded-Host": forwarded_host}
    headers = CIMultiDict({name: value for name, value in said.items() if value is not None})
    asked = Mock(remote=remote, headers=headers, scheme="http", host=host)
    assert ClientAddress(("10.0.0.0/8",)).origin(asked) == origin


def test_without_trusted_proxies_the_header_means_nothing() -> None:
    assert ClientAddress(()).address(request("10.0.0.1", "203.0.113.9")) == "10.0.0.1"


def test_an_ill_formed_network_is_named() -> None:
    with pytest.raises(ConfigError, match="TRUSTED_PROXIES"):
        KernelConfig(trusted_proxies=("10.0.0.0/99",))
