"""Tokens that must not be believed: each is one defect away from an honest one."""

import base64
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from ragwork_testkit.oidc_server import CLIENT_ID, ProviderKey, encoded, mac, segment, signed

Claims = dict[str, Any]
STRANGER = ProviderKey.new("RS256")
WEAK_SKEW_S = 120


def _public(key: ProviderKey, form: serialization.Encoding) -> bytes:
    public = key.private.public_key()
    return public.public_bytes(form, serialization.PublicFormat.SubjectPublicKeyInfo)


def _unsigned(alg: str) -> Callable[[Any, Claims, Claims], str]:
    return lambda idp, header, claims: f"{segment(header | {'alg': alg})}.{segment(claims)}."


def _confused(form: str) -> Callable[[Any, Claims, Claims], str]:
    """HS256 with what everybody knows as the key."""

    def forge(idp: Any, header: Claims, claims: Claims) -> str:
        key = idp.keys[0]
        known = {
            "pem": lambda: _public(key, serialization.Encoding.PEM),
            "der": lambda: _public(key, serialization.Encoding.DER),
            "jwk": lambda: json.dumps(key.jwk()).encode(),
            "empty": lambda: b"",
        }[form]()
        return signed(header | {"alg": "HS256"}, claims, mac(known))

    return forge


def _headed(**changes: Any) -> Callable[[Any, Claims, Claims], str]:
    return lambda idp, header, claims: idp.keys[0].token(header | changes, claims)


def _stranger(**changes: Any) -> Callable[[Any, Claims, Claims], str]:
    """A key of the attacker's, under the right key id unless changed."""
    return lambda idp, header, claims: STRANGER.token(header | changes, claims)


def _pieces(cut: Callable[[list[str]], list[str]]) -> Callable[[Any, Claims, Claims], str]:
    return lambda idp, header, claims: ".".join(cut(idp.keys[0].token(header, claims).split(".")))


def _tampered(parts: list[str]) -> list[str]:
    padded = parts[1] + "=" * (-len(parts[1]) % 4)
    claims = json.loads(base64.urlsafe_b64decode(padded)) | {"sub": "admin"}
    return [parts[0], segment(claims), parts[2]]


FORGED = {
    "none": _unsigned("none"),
    "None": _unsigned("None"),
    "no alg": lambda idp, header, claims: f"{segment({'typ': 'JWT'})}.{segment(claims)}.x",
    "hs256 pem": _confused("pem"),
    "hs256 der": _confused("der"),
    "hs256 jwk": _confused("jwk"),
    "hs256 empty": _confused("empty"),
    "es256 header on rsa key": _headed(alg="ES256"),
    "ps256 is not pinned": _headed(alg="PS256"),
    "rs512": _headed(alg="RS512"),
    "alg list": _headed(alg=["RS256", "none"]),
    "another key under the right id": _stranger(),
    "key of the token's own": _stranger(jwk=STRANGER.jwk(), kid=STRANGER.kid),
    "key from elsewhere": _stranger(jku="https://evil.example.com/jwks", kid=STRANGER.kid),
    "kid is no text": _headed(kid=7),
    "kid is a path": _headed(kid="../../etc/passwd"),
    "access token type": _headed(typ="at+jwt"),
    "critical and unknown": _headed(crit=["x"], x=1),
    "unencoded payload": _headed(crit=["b64"], b64=False),
    "claims changed": _pieces(_tampered),
    "signature dropped": _pieces(lambda parts: [parts[0], parts[1], ""]),
    "signature doubled": _pieces(lambda parts: [*parts, parts[2]]),
    "no dots": lambda idp, header, claims: "abc",
    "not json": lambda idp, header, claims: f"{segment(header)}.{encoded(b'[1]')}.x",
    "enormous": lambda idp, header, claims: idp.keys[0].token(header, claims | {"x": "y" * 100_000}),
}

NOW = time.time
WRONG_CLAIMS: dict[str, Callable[[Any], Claims]] = {
    "iss with slash": lambda idp: {"iss": idp.issuer + "/"},
    "iss of another": lambda idp: {"iss": "https://other.example.com"},
    "iss missing": lambda idp: {"iss": None},
    "iss list": lambda idp: {"iss": [idp.issuer]},
    "aud of another": lambda idp: {"aud": "other"},
    "aud missing": lambda idp: {"aud": None},
    "aud part": lambda idp: {"aud": CLIENT_ID[:-1]},
    "aud longer": lambda idp: {"aud": CLIENT_ID + "x"},
    "aud empty": lambda idp: {"aud": []},
    "aud nested": lambda idp: {"aud": [[CLIENT_ID]]},
    "aud two without azp": lambda idp: {"aud": [CLIENT_ID, "other"]},
    "aud two with azp of the other": lambda idp: {"aud": [CLIENT_ID, "other"], "azp": "other"},
    "azp of another": lambda idp: {"azp": "other"},
    "exp missing": lambda idp: {"exp": None},
    "exp text": lambda idp: {"exp": str(int(NOW()) + 300)},
    "exp true": lambda idp: {"exp": True},
    "exp past the skew": lambda idp: {"exp": NOW() - WEAK_SKEW_S - 1},
    "iat missing": lambda idp: {"iat": None},
    "iat in the future": lambda idp: {"iat": NOW() + WEAK_SKEW_S + 30},
    "nbf in the future": lambda idp: {"nbf": NOW() + WEAK_SKEW_S + 30},
    "nbf text": lambda idp: {"nbf": "0"},
    "nonce missing": lambda idp: {"nonce": None},
    "nonce of another": lambda idp: {"nonce": "x" * 43},
    "nonce list": lambda idp: {"nonce": ["x"]},
    "sub missing": lambda idp: {"sub": None},
    "sub empty": lambda idp: {"sub": ""},
    "sub long": lambda idp: {"sub": "s" * 257},
    "sub list": lambda idp: {"sub": ["alice"]},
    "sub number": lambda idp: {"sub": 1},
    "sub nul": lambda idp: {"sub": "ali\x00ce"},
    "at_hash of another": lambda idp: {"at_hash": encoded(hashlib.sha256(b"other").digest()[:16])},
}


def _without_nulls(claims: Claims) -> Claims:
    return {name: value for name, value in claims.items() if value is not None}


async def test_no_forged_token_is_believed_and_none_opens_a_session(stage: Any) -> None:
    provider_id = await stage.provider()
    believed = []
    for name, forge in FORGED.items():
        stage.idp.forge = lambda header, claims, forge=forge: forge(stage.idp, header, claims)
        answer = await stage.login(provider_id)
        if (answer.status, answer.status == 401 and answer.code) != (401, "SSO_ID_TOKEN_INVALID"):
            believed.append((name, answer.status, answer.text))
    for name, change in WRONG_CLAIMS.items():
        stage.idp.forge = lambda header, claims, change=change: stage.idp.keys[0].token(
            header, _without_nulls(claims | change(stage.idp))
        )
        answer = await stage.login(provider_id)
        if (answer.status, answer.status == 401 and answer.code) != (401, "SSO_ID_TOKEN_INVALID"):
            believed.append((name, answer.status, answer.text))
    assert believed == []
    async with stage.app.platform.facades["sso"].db.tenant("t1", "read") as tx:
        assert await tx.fetchval("SELECT count(*) FROM sso.sessions") == 0
        assert await tx.fetchval("SELECT count(*) FROM sso.accounts") == 0
    # No flood of bad key ids made us ask more than once.
    assert stage.idp.jwks_asked == 1


@pytest.mark.parametrize(
    "change",
    [
        {"aud": [CLIENT_ID]},
        {"aud": [CLIENT_ID, "other"], "azp": CLIENT_ID},
        {"exp": lambda: NOW() - WEAK_SKEW_S + 20},
        {"iat": lambda: NOW() + WEAK_SKEW_S - 20, "nbf": lambda: NOW() + WEAK_SKEW_S - 20},
        {"sub": "s" * 255, "extra": {"deep": [1, None]}},
    ],
    ids=["aud list", "azp", "exp within skew", "iat within skew", "long sub"],
)
async def test_unusual_honest_tokens_are_believed(stage: Any, change: Claims) -> None:
    provider_id = await stage.provider()
    told = {name: value() if callable(value) else value for name, value in change.items()}
    stage.idp.forge = lambda header, claims: stage.idp.keys[0].token(header, claims | told)
    assert (await stage.login(provider_id)).status == 200


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_every_offered_algorithm_works_where_pinned_and_only_there(stage: Any, algorithm: str) -> None:
    stage.idp.keys = [ProviderKey.new(algorithm)]
    pinned = await stage.provider(algorithms_json=[algorithm])
    others = [name for name in ("RS256", "PS256", "ES256", "EdDSA") if name != algorithm]
    assert (await stage.login(pinned)).status == 200
    await stage.provider(algorithms_json=others)
    assert (await stage.login(pinned)).code == "SSO_ID_TOKEN_INVALID"
    await stage.provider(algorithms_json=[algorithm])
    # Without a key id the one key that fits is the key.
    stage.idp.forge = lambda header, claims: stage.idp.keys[0].token(
        {"alg": header["alg"], "x5t": "ignored"}, claims
    )
    assert (await stage.login(pinned)).status == 200
    stage.idp.keys.append(ProviderKey.new(algorithm))
    stage.idp.jwks_asked = 0
    assert (await stage.login(pinned)).status == 200  # the second key is not known yet, nor looked for
    assert stage.idp.jwks_asked == 0
