"""A provider that rotates its keys, floods, lies about sizes, or goes away in the middle."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from ragwork_hooks.errors import ProviderError
from ragwork_sso.providers import jwks
from ragwork_sso.providers.cached_documents import Fetched
from ragwork_testkit.oidc_server import ProviderKey

TROUBLE = ["error", "half", "redirect", "huge", "nonsense"]


@pytest.mark.parametrize("mood", TROUBLE)
async def test_a_failed_exchange_opens_nothing_and_spends_the_state(stage: Any, mood: Any) -> None:
    provider_id = await stage.provider()
    stage.idp.token_mood = mood
    browser = stage.browser()
    back = stage.idp.authorize(await browser.start(provider_id))
    answer = await browser.callback(provider_id, back)
    assert (answer.status, answer.code) == (502, "SSO_TOKEN_EXCHANGE_FAILED")
    assert "x" * 100 not in answer.text
    assert stage.idp.token_asked == 1
    stage.idp.token_mood = "fine"
    assert (await browser.callback(provider_id, back)).code == "SSO_INVALID_STATE"
    assert (await stage.login(provider_id)).status == 200


# Slow: waits for the deadline that it proves.
async def test_a_provider_that_never_answers_is_given_up_within_the_deadline(stage: Any) -> None:
    provider_id = await stage.provider()
    stage.idp.token_mood = "slow"
    since = time.monotonic()
    answer = await stage.login(provider_id)
    assert (answer.status, answer.code) == (502, "SSO_TOKEN_EXCHANGE_FAILED")
    assert 4.5 < time.monotonic() - since < 15


async def test_a_dead_provider_and_a_forbidden_address_are_refusals(staged: Any) -> None:
    async with staged(EGRESS_ALLOW_PRIVATE="") as stage:
        provider_id = await stage.provider()
        answer = await stage.login(provider_id)
        assert (answer.status, answer.code) == (502, "SSO_TOKEN_EXCHANGE_FAILED")
        assert (stage.idp.token_asked, stage.idp.jwks_asked) == (0, 0)
    async with staged() as stage:
        dead = await stage.provider(token_url="http://127.0.0.1:9/token")
        assert (await stage.login(dead)).code == "SSO_TOKEN_EXCHANGE_FAILED"


@pytest.mark.parametrize("mood", TROUBLE)
async def test_keys_that_were_read_before_go_on_working(stage: Any, mood: Any) -> None:
    provider_id = await stage.provider()
    stage.idp.jwks_mood = mood
    first = await stage.login(provider_id)
    assert (first.status, first.code) == (502, "SSO_TOKEN_EXCHANGE_FAILED")
    other = await stage.provider(jwks_url=stage.idp.url + "/jwks?again")
    stage.idp.jwks_mood = "fine"
    assert (await stage.login(other)).status == 200
    stage.idp.jwks_mood = mood
    stage.idp.keys.insert(0, ProviderKey.new())
    assert (await stage.login(other)).code == "SSO_ID_TOKEN_INVALID"
    stage.idp.keys.pop(0)
    assert (await stage.login(other)).status == 200


async def test_strange_keys_beside_the_right_one_are_passed_over(stage: Any) -> None:
    kid = stage.idp.keys[0].kid
    short = {"kty": "RSA", "n": "3b1F", "e": "AQAB", "kid": kid}
    stage.idp.jwks_extra = [
        "text", None, {}, {"kty": "oct", "k": "c2VjcmV0", "kid": kid}, {"kty": "ML-DSA", "kid": kid},
        short, {**stage.idp.keys[0].jwk(), "use": "enc"}, {**stage.idp.keys[0].jwk(), "alg": "PS256"},
        {**stage.idp.keys[0].jwk(), "key_ops": ["sign"]}, {"kty": "EC", "crv": "P-256", "x": "!", "y": "!"},
    ]  # fmt: skip
    assert (await stage.login(await stage.provider())).status == 200
    # Two keys of one id are no answer to the question which one it is.
    stage.idp.jwks_extra = [ProviderKey.new(kid=kid).jwk()]
    twins = await stage.provider(jwks_url=stage.idp.url + "/jwks?twins")
    assert (await stage.login(twins)).code == "SSO_ID_TOKEN_INVALID"


async def test_of_many_keys_the_named_one_counts(stage: Any) -> None:
    first, second = stage.idp.keys[0], ProviderKey.new()
    stage.idp.keys.append(second)
    provider_id = await stage.provider()
    assert (await stage.login(provider_id)).status == 200
    stage.idp.forge = lambda header, claims: second.token(header | {"kid": second.kid}, claims)
    assert (await stage.login(provider_id)).status == 200
    for kid in (first.kid, "gone", ""):
        stage.idp.forge = lambda header, claims, kid=kid: second.token(header | {"kid": kid}, claims)
        assert (await stage.login(provider_id)).code == "SSO_ID_TOKEN_INVALID"
    # Without a name it is not clear which one is meant.
    stage.idp.forge = lambda header, claims: second.token({"alg": header["alg"]}, claims)
    assert (await stage.login(provider_id)).code == "SSO_ID_TOKEN_INVALID"


class Source:
    """Documents over time: what ``fetch`` gives, how often it was asked, and a clock to turn."""

    def __init__(self) -> None:
        self.now, self.asked, self.away = 0.0, 0, False
        self.document: Sequence[str] = ["old"]

    async def fetch(self, _url: str) -> Sequence[str]:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise ProviderError("INTEGRATION_UNAVAILABLE", "away")
        return [*self.document]

    def fetched(self) -> Fetched[Sequence[str]]:
        return Fetched(self.fetch, lambda: self.now, fresh_s=3600, spacing_s=10)


async def test_a_new_key_is_found_with_one_more_question_and_a_flood_asks_once_in_ten_seconds() -> None:
    source = Source()
    fetched = source.fetched()
    seen = await fetched.get("u")
    source.document = ["new"]
    for _ in range(1000):
        assert await fetched.newer("u", seen) == ["old"]
    assert source.asked == 1
    source.now = 10.0
    found = await asyncio.gather(*(fetched.newer("u", seen) for _ in range(1000)))
    assert all(each == ["new"] for each in found)
    assert source.asked == 2
    for second in range(100):
        source.now = 10.0 + second
        for _ in range(50):
            await fetched.newer("u", await fetched.get("u"))
    assert source.asked == 2 + 9


async def test_an_absent_provider_is_asked_once_in_ten_seconds_and_believed_for_a_day() -> None:
    source = Source()
    source.away = True
    fetched = source.fetched()
    for _ in range(100):
        with pytest.raises(ProviderError):
            await fetched.get("u")
    assert source.asked == 1
    source.away, source.now = False, 10.0
    assert await fetched.get("u") == ["old"]
    source.away, source.now = True, 10.0 + 86_000
    assert await fetched.get("u") == ["old"]
    source.now = 10.0 + 86_401
    with pytest.raises(ProviderError):
        await fetched.get("u")


async def test_what_is_remembered_is_bounded() -> None:
    source = Source()
    fetched = source.fetched()
    for number in range(1000):
        await fetched.get(f"u{number}")
    assert len(fetched._entries) == 256


def test_a_jwks_of_a_thousand_keys_is_none() -> None:
    with pytest.raises(ProviderError):
        jwks.parse({"keys": [ProviderKey.new("EdDSA").jwk()] * 101})
    with pytest.raises(ProviderError):
        jwks.parse({"keys": {}})
