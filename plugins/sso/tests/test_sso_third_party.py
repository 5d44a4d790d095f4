"""Logins with a provider that nobody here wrote: ``oidc-provider-mock``, a Flask server on Authlib."""

import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import pytest
import pytest_asyncio
from ragwork_testkit.oidc_server import CLIENT_ID


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import oidc_provider_mock

        with oidc_provider_mock.run_server_in_thread(
            require_nonce=True,
            user_claims=[
                oidc_provider_mock.User(
                    sub="alice",
                    claims={"email": "alice@example.com", "name": "Alice", "groups": ["Editors"]},
                )
            ],
        ) as server:
            yield f"http://localhost:{server.server_port}"


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def _agree(browser: aiohttp.ClientSession, address: str, **form: str) -> dict[str, str]:
    async with browser.post(address, data=form, allow_redirects=False) as answer:
        assert answer.status == 302, await answer.text()
        return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))


async def test_the_whole_flow_against_a_third_party(
    stage: Any, issuer: str, browser: aiohttp.ClientSession
) -> None:
    async with browser.get(f"{issuer}/.well-known/openid-configuration") as answer:
        published = await answer.json()
    provider_id = await stage.provider(
        issuer=published["issuer"],
        auth_url=published["authorization_endpoint"],
        token_url=published["token_endpoint"],
        jwks_url=published["jwks_uri"],
        scopes_json=["openid", "profile", "email"],
        role_mapping_json={"groups": {"Editors": "editor"}},
    )
    tested = await stage.app.call("POST", f"/v1/admin/identity/providers/{provider_id}/test", stage.admin)
    assert tested.data["ok"] is True, tested.text
    person = stage.browser()
    sent = await person.start(provider_id)
    assert sent["client_id"] == CLIENT_ID
    back = await _agree(browser, f"{published['authorization_endpoint']}?{urlencode(sent)}", sub="alice")
    login = await person.callback(provider_id, back)
    assert login.status == 200, login.text
    assert login.data["role"] == "editor"
    me = await stage.app.call("GET", "/v1/auth/sso/me", login.data["session_token"])
    assert (me.data["email"], me.data["display_name"]) == ("alice@example.com", "Alice")
    [listed] = (await stage.app.call("GET", "/v1/admin/identity/users", stage.admin)).data["items"]
    assert listed["external_subject"] == "alice"
    # Its code is spent, and with it our state.
    assert (await person.callback(provider_id, back)).code == "SSO_INVALID_STATE"
    stolen = stage.browser()
    await stolen.start(provider_id)
    replayed = {"code": back["code"], "state": (await stolen.start(provider_id))["state"]}
    assert (await stolen.callback(provider_id, replayed)).code == "SSO_TOKEN_EXCHANGE_FAILED"
