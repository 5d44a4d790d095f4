"""Where a browser goes after its login: only where the operator said, whatever the address looks like."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ragwork_hooks.errors import ConfigError, Problem
from ragwork_sso.login.return_urls import ReturnAddresses
from yarl import URL

ALLOWED = ("app.example.com", "localhost:3000", "[2001:db8::1]:8443")
HOSTILE = [
    "https://ok.com@evil.com", "https://app.example.com@evil.com", "https://app.example.com:x@evil.com/",
    "//evil.com", "///evil.com", "/\\evil.com", "https:/\\evil.com", "https:\\\\evil.com", "https:evil.com",
    "https://evil.com\\@app.example.com", "https://evil.com\\.app.example.com", "https://app.example.com\\@evil.com",
    "https://app.example.com.evil.com", "https://evilapp.example.com", "https://app.example.com%2eevil.com",
    "https://app.example.com%00.evil.com", "https://app\u3002example.com", "https://\uff41pp.example.com",
    "https://app.example.com\t.evil.com", " https://app.example.com", "https://app.example.com\n",
    "https://app.example.com/\r\nSet-Cookie: a=b", "https://app.example.com/#frag", "javascript:alert(1)",
    "data:text/html,x", "https://", "https:///app.example.com", "https://app.example.com:444/",
    "https://app.example.com:443:443/", "https://app.example.com:", "https://[::1]/", "https://.app.example.com",
    "https://app.example.com./", "app.example.com", "/relative", "", "https://localhost/", "HTTPS://app.example.com",
    "https://app.example.com/?sso_code=x", "https://app.example.com/cb?a=1&sso_code=", "https://app.example.com/?sso%5Fcode=x",
    "https://app.example.com/?x=1&sso_provider=p",
    "https://app.example.com/a b", 'https://app.example.com/"onload=', "https://app.example.com/%zz",
]  # fmt: skip
FINE = [
    "https://app.example.com", "https://app.example.com/", "https://APP.example.com/done?x=1&y=%20",
    "https://app.example.com:443/cb", "http://localhost:3000/cb", "https://[2001:db8::1]:8443/",
]  # fmt: skip
_PIECES = st.sampled_from(
    ["https:", "http:", "//", "/", "\\", "@", ":", "app.example.com", "evil.com", ".", "%2f", "%00", "?", "#",
     "localhost:3000", "\t", "\n", " ", "\u3002", "\uff0f", "[", "]", "443", "x"]
)  # fmt: skip


def _taken(url: str) -> bool:
    try:
        return ReturnAddresses(ALLOWED, production=False).check(url) == url
    except Problem:
        return False


@pytest.mark.parametrize("url", HOSTILE)
def test_hostile_addresses_are_refused(url: str) -> None:
    assert not _taken(url)


@pytest.mark.parametrize("url", FINE)
def test_listed_hosts_are_taken(url: str) -> None:
    assert _taken(url)


@given(url=st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=10).map("".join)))
@example(url="https://app.example.com/x?https://evil.com")
def test_what_is_taken_leads_to_a_listed_host_for_every_parser(url: str) -> None:
    if not _taken(url):
        return
    one, two = urlsplit(url), URL(url)
    assert one.username is two.user is None
    for host, port in (
        (one.hostname, one.port or {"http": 80, "https": 443}[one.scheme]),
        (two.host, two.port),
    ):
        assert (host, port) in {
            ("app.example.com", 80), ("app.example.com", 443), ("localhost", 3000), ("2001:db8::1", 8443),
        }  # fmt: skip


def test_an_empty_list_allows_nothing_and_production_only_https() -> None:
    for url in FINE:
        with pytest.raises(Problem):
            ReturnAddresses((), production=False).check(url)
    with pytest.raises(Problem):
        ReturnAddresses(ALLOWED, production=True).check("http://localhost:3000/cb")


@pytest.mark.parametrize("entry", ["https://app.example.com", "*.example.com", "a/b", "", "a@b", "a:b"])
def test_an_entry_that_is_no_host_stops_the_boot(entry: str) -> None:
    with pytest.raises(ConfigError, match="SSO_ALLOWED_REDIRECT_HOSTS"):
        ReturnAddresses((entry,), production=False)


async def test_the_browser_gets_a_code_and_never_a_token(stage: Any) -> None:
    provider_id = await stage.provider()
    return_to = "https://app.example.com/done?state=mine"
    back = await stage.browser().login(provider_id, stage.idp, return_to=return_to)
    assert back.status == 303
    location = back.headers["Location"]
    assert location.startswith(return_to + "&sso_provider=")
    assert "nrgss_" not in location + back.text + str(back.headers)
    code = parse_qs(urlsplit(location).query)["sso_code"][0]
    path = f"/v1/auth/sso/oidc/{provider_id}/exchange"
    other = await stage.provider(issuer="https://other.example.com")
    wrong = await stage.app.call("POST", f"/v1/auth/sso/oidc/{other}/exchange", json={"code": code})
    assert wrong.code == "SSO_INVALID_STATE"
    answers = await asyncio.gather(*(stage.app.call("POST", path, json={"code": code}) for _ in range(10)))
    assert sorted(answer.status for answer in answers) == [200, *[400] * 9]
    [token] = [answer.data["session_token"] for answer in answers if answer.status == 200]
    assert (await stage.app.call("GET", "/v1/auth/sso/me", token)).status == 200


async def test_a_foreign_return_address_starts_nothing(stage: Any) -> None:
    provider_id = await stage.provider()
    for url in HOSTILE[:12]:
        path = f"/v1/auth/sso/oidc/{provider_id}/start"
        answer = await stage.app.call("GET", path, params={"return_to": url, "response_mode": "redirect"})
        assert (answer.status, answer.code) == (400, "BAD_REQUEST")
        assert "Set-Cookie" not in answer.headers
