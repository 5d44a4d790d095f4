"""The outbound client against a real local server and resolvers that lie."""

import asyncio
import gzip
import socket
import time
from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from ragwork_hooks.errors import ConfigError, ProviderError
from ragwork_kernel.base.config import KernelConfig
from ragwork_kernel.base.egress import AddressPolicy, EgressClient
from ragwork_testkit.local_server import served

LOOPBACK = ("127.0.0.0/8",)


class ListedResolver(AbstractResolver):
    """Gives a list of addresses per look-up, one list after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        addresses = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in addresses
        ]

    async def close(self) -> None: ...


class Receiver:
    """A server that remembers what reached it."""

    port = 0

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.path, dict(request.headers), await request.read()))
        match request.path:
            case "/redirect":
                raise web.HTTPFound("http://127.0.0.1:1/inside")
            case "/large":
                return web.Response(body=b"x" * 10_000)
            case "/bomb":
                return web.Response(
                    body=gzip.compress(b"0" * 50_000_000), headers={"Content-Encoding": "gzip"}
                )
            case "/drip" | "/endless":
                return await self._drip(request, 0.05 if request.path == "/drip" else 0)
            case "/silent":
                await asyncio.sleep(30)
        return web.Response(text="here", headers={"X-Seen": "yes", "Set-Cookie": "a=b"})

    async def _drip(self, request: web.Request, pause_s: float) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" if pause_s else b"x" * 60_000)
            await asyncio.sleep(pause_s)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", found.answer)
    async with served(app) as address:
        found.port = urlsplit(address).port or 0
        yield found


async def refusal(client: EgressClient, url: str, **more: Any) -> ProviderError:
    with pytest.raises(ProviderError) as refused:
        await client.request("GET", url, **more)
    await client.close()
    return refused.value


async def test_an_allowed_address_is_called_once_and_plainly(receiver: Receiver) -> None:
    client = EgressClient(LOOPBACK, ListedResolver(["127.0.0.1"]))
    for _ in range(2):
        answer = await client.request(
            "POST", f"http://hook.example:{receiver.port}/x?y=1", headers={"X-Id": "7"}, body=b"data"
        )
    await client.close()
    assert (answer.status, answer.body, answer.headers["x-seen"]) == (200, b"here", "yes")
    path, headers, body = receiver.requests[1]
    assert (path, body, headers["X-Id"]) == ("/x", b"data", "7")
    assert headers["Host"] == f"hook.example:{receiver.port}"
    assert headers["Accept-Encoding"] == "identity"
    assert "Cookie" not in headers


FORBIDDEN = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.9.9.9", "168.63.129.16",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.168.0.1", "198.18.0.1",
    "224.0.0.1",
    "239.1.1.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1",
    "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "100::1", "2001::1",
    "2001:db8::1", "2002:7f00:1::", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1",
    "ff02::1",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "64:ff9b::808:808",
    "::ffff:8.8.8.8",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_inner_addresses_are_forbidden_and_public_ones_are_not(address: str) -> None:
    assert not AddressPolicy(()).permits(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_permitted(address: str) -> None:
    assert AddressPolicy(()).permits(ip_address(address))


def test_the_operators_allow_list_opens_exactly_itself() -> None:
    policy = AddressPolicy(("10.1.0.0/16", "fd00:1::/32"))
    assert policy.permits(ip_address("10.1.2.3"))
    assert policy.permits(ip_address("::ffff:10.1.2.3"))
    assert policy.permits(ip_address("fd00:1::5"))
    assert not policy.permits(ip_address("10.2.0.1"))
    assert not policy.permits(ip_address("fd00:2::5"))
    with pytest.raises(ConfigError, match="EGRESS_ALLOW_PRIVATE"):
        KernelConfig(egress_allow_private=("10.1.0.1/16",))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "localhost",
        "%31%32%37.0.0.1",
    ],
)
async def test_every_notation_of_loopback_is_refused_before_a_connection(
    receiver: Receiver, host: str
) -> None:
    error = await refusal(EgressClient(()), f"http://{host}:{receiver.port}/")
    assert error.code in {"EGRESS_REFUSED", "INTEGRATION_UNAVAILABLE"}
    assert receiver.requests == []


@pytest.mark.parametrize(
    "answers", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"], ["fe80::1%lo"]]
)
async def test_a_name_with_one_inner_address_is_refused(receiver: Receiver, answers: list[str]) -> None:
    client = EgressClient((), ListedResolver(answers))
    error = await refusal(client, f"http://hook.example:{receiver.port}/")
    assert (error.code, error.retryable) == ("EGRESS_REFUSED", False)
    assert receiver.requests == []


async def test_a_name_that_resolves_otherwise_later_stays_pinned(receiver: Receiver) -> None:
    resolver = ListedResolver(["127.0.0.1"], ["10.255.255.1"])
    client = EgressClient(LOOPBACK, resolver)
    answer = await client.request("GET", f"http://hook.example:{receiver.port}/")
    assert (answer.status, resolver.asked) == (200, 1)  # one look-up: what was vetted was called
    error = await refusal(client, f"http://hook.example:{receiver.port}/")
    assert (error.code, resolver.asked) == ("EGRESS_REFUSED", 2)  # no older connection is reused


async def test_redirects_are_answers_not_orders(receiver: Receiver) -> None:
    client = EgressClient(LOOPBACK)
    answer = await client.request("GET", f"http://127.0.0.1:{receiver.port}/redirect")
    await client.close()
    assert answer.status == 302
    assert len(receiver.requests) == 1


async def test_proxies_of_the_environment_are_ignored(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    client = EgressClient(LOOPBACK)
    assert (await client.request("GET", f"http://127.0.0.1:{receiver.port}/")).status == 200
    await client.close()


@pytest.mark.parametrize("path", ["large", "endless", "bomb"])
async def test_bytes_are_bounded_also_when_packed(receiver: Receiver, path: str) -> None:
    started = time.monotonic()
    error = await refusal(EgressClient(LOOPBACK), f"http://127.0.0.1:{receiver.port}/{path}", max_bytes=5_000)
    assert error.code == "INTEGRATION_UNAVAILABLE"
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("path", ["drip", "silent"])
async def test_time_is_bounded_over_the_whole_call(receiver: Receiver, path: str) -> None:
    started = time.monotonic()
    error = await refusal(EgressClient(LOOPBACK), f"http://127.0.0.1:{receiver.port}/{path}", timeout_s=0.3)
    assert error.code == "INTEGRATION_UNAVAILABLE"
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "file:///etc/passwd", "gopher://x/", "http://", "//example.com/", "not a url", "",
     "http://user:pw@example.com/", "http://a@example.com/", "http://example.com:99999/", "http://exa\x00mple.com/"],
)  # fmt: skip
async def test_other_schemes_credentials_and_ill_formed_addresses_are_refused(url: str) -> None:
    assert (await refusal(EgressClient((), ListedResolver(["127.0.0.1"])), url)).code == "EGRESS_REFUSED"


@pytest.mark.parametrize(
    "headers",
    [{"Host": "inside"}, {"CONTENT-length": "3"}, {"Transfer-Encoding": "chunked"}, {"X": "a\r\nY: b"},
     {"X\n": "a"},
     {"": "a"}, {"X": "a\x00"}, {"Proxy-Authorization": "x"}, {"Accept-Encoding": "gzip"}],
)  # fmt: skip
async def test_headers_that_could_reroute_or_split_a_request_are_refused(
    receiver: Receiver, headers: dict[str, str]
) -> None:
    client = EgressClient(LOOPBACK)
    error = await refusal(client, f"http://127.0.0.1:{receiver.port}/", headers=headers)
    assert error.code == "EGRESS_REFUSED"
    assert receiver.requests == []


async def test_an_error_does_not_repeat_the_url_and_its_secrets() -> None:
    error = await refusal(EgressClient(LOOPBACK), "http://127.0.0.1:1/hook?token=s3cret")
    assert error.code == "INTEGRATION_UNAVAILABLE"
    assert "s3cret" not in str(error)
