"""An OpenID provider on a local port that can lie: about its tokens, its keys, its answers and its speed.

It signs with ``cryptography`` alone, so no library judges its own work. ``issuer`` and everything that a
relying party is configured with are true; what is told afterwards is up to the test.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, TypeAlias

import attrs
from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from ragwork_testkit.local_server import served

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
#: Makes the token from header and claims; the default signs both with the header's own key.
Forge: TypeAlias = Callable[[dict[str, Any], dict[str, Any]], str]
Mood: TypeAlias = Literal["fine", "error", "slow", "half", "redirect", "huge", "nonsense"]

CLIENT_ID: Final = "ragwork-client"
CLIENT_SECRET: Final = "s3cret/with+odd:characters"
_SLOW_S: Final = 30.0
_COORDINATE: Final = 32


def encoded(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def segment(value: Mapping[str, Any]) -> str:
    """A header or payload as it stands in a token."""
    return encoded(json.dumps(value).encode())


def signed(header: Mapping[str, Any], claims: Mapping[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """The compact token over both, signed by ``sign``."""
    text = f"{segment(header)}.{segment(claims)}"
    return f"{text}.{encoded(sign(text.encode()))}"


def mac(key: bytes) -> Callable[[bytes], bytes]:
    """HS256 under any bytes: what a confused verifier would accept."""
    return lambda text: hmac.digest(key, text, "sha256")


@attrs.frozen(kw_only=True)
class ProviderKey:
    """A private key, and the public half as its JWKS has it."""

    kid: str
    algorithm: str
    private: PrivateKey = attrs.field(repr=False)

    @classmethod
    def new(cls, algorithm: str = "RS256", kid: str | None = None) -> "ProviderKey":
        """A fresh key for ``algorithm``: RS256, PS256, ES256 or EdDSA."""
        private: PrivateKey
        if algorithm == "ES256":
            private = ec.generate_private_key(ec.SECP256R1())
        elif algorithm == "EdDSA":
            private = ed25519.Ed25519PrivateKey.generate()
        else:
            private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return cls(kid=kid or secrets.token_hex(4), algorithm=algorithm, private=private)

    def jwk(self) -> dict[str, Any]:
        """The public half."""
        shared = {"kid": self.kid, "use": "sig", "alg": self.algorithm}
        if isinstance(self.private, rsa.RSAPrivateKey):
            public = self.private.public_key().public_numbers()
            size = (public.n.bit_length() + 7) // 8
            modulus, exponent = public.n.to_bytes(size, "big"), public.e.to_bytes(3, "big")
            return {"kty": "RSA", "n": encoded(modulus), "e": encoded(exponent), **shared}
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            point = self.private.public_key().public_numbers()
            x, y = (encoded(value.to_bytes(_COORDINATE, "big")) for value in (point.x, point.y))
            return {"kty": "EC", "crv": "P-256", "x": x, "y": y, **shared}
        raw = self.private.public_key().public_bytes_raw()
        return {"kty": "OKP", "crv": "Ed25519", "x": encoded(raw), **shared}

    def sign(self, text: bytes, algorithm: str | None = None) -> bytes:
        """The signature that ``algorithm`` (the key's own) has over ``text``."""
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(text)
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self.private.sign(text, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")
        if (algorithm or self.algorithm) == "PS256":
            salted = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
            return self.private.sign(text, salted, hashes.SHA256())
        return self.private.sign(text, padding.PKCS1v15(), hashes.SHA256())

    def token(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        """A token signed as ``header`` says."""
        return signed(header, claims, lambda text: self.sign(text, str(header.get("alg"))))


@attrs.define
class Grant:
    """What a code stands for."""

    nonce: str
    challenge: str
    redirect_uri: str


@attrs.define(kw_only=True)
class OidcServer:
    """The provider. Fields may be changed while it runs; ``*_asked`` count requests.

    ``person`` are the claims about who is logged in, ``announces_iss`` the promise of RFC 9207. With
    ``hold`` the token endpoint waits until that is set; ``held`` says that somebody waits.
    """

    url: str = ""
    keys: list[ProviderKey] = attrs.field(factory=lambda: [ProviderKey.new()])
    person: dict[str, Any] = attrs.field(factory=lambda: {"sub": "alice"})
    forge: Forge | None = None
    announces_iss: bool = False
    token_mood: Mood = "fine"
    jwks_mood: Mood = "fine"
    jwks_extra: list[Any] = attrs.field(factory=list)
    jwks_asked: int = 0
    token_asked: int = 0
    hold: asyncio.Event | None = None
    held: asyncio.Event = attrs.field(factory=asyncio.Event)
    _grants: dict[str, Grant] = attrs.field(factory=dict)

    @property
    def issuer(self) -> str:
        return self.url

    def endpoints(self) -> dict[str, str]:
        """What a relying party is configured with."""
        return {
            "issuer": self.issuer,
            "auth_url": f"{self.url}/authorize",
            "token_url": f"{self.url}/token",
            "jwks_url": f"{self.url}/jwks",
        }

    def authorize(self, query: Mapping[str, str]) -> dict[str, str]:
        """The person agrees: the parameters that the browser takes back, for the request's ``query``."""
        code = secrets.token_urlsafe(16)
        self._grants[code] = Grant(
            nonce=query["nonce"], challenge=query["code_challenge"], redirect_uri=query["redirect_uri"]
        )
        back = {"code": code, "state": query["state"]}
        return back | ({"iss": self.issuer} if self.announces_iss else {})

    def claims(self, nonce: str) -> dict[str, Any]:
        """The claims of an honest token."""
        now = int(time.time())
        times = {"iat": now, "exp": now + 300}
        return {"iss": self.issuer, "aud": CLIENT_ID, "nonce": nonce, **times, **self.person}

    def token(self, nonce: str) -> str:
        """An ID token as ``forge`` makes it, else an honest one."""
        key, claims = self.keys[0], self.claims(nonce)
        header = {"alg": key.algorithm, "kid": key.kid, "typ": "JWT"}
        return self.forge(header, claims) if self.forge else key.token(header, claims)

    async def serve_discovery(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
                "id_token_signing_alg_values_supported": sorted({key.algorithm for key in self.keys}),
                "authorization_response_iss_parameter_supported": self.announces_iss,
            }
        )

    async def serve_jwks(self, request: web.Request) -> web.StreamResponse:
        self.jwks_asked += 1
        keys = {"keys": [*(key.jwk() for key in self.keys), *self.jwks_extra]}
        return await _in_mood(request, self.jwks_mood, keys)

    async def serve_token(self, request: web.Request) -> web.StreamResponse:
        self.token_asked += 1
        form = {name: str(value) for name, value in (await request.post()).items()}
        if self.hold is not None:
            self.held.set()
            await self.hold.wait()
        grant = self._grants.pop(form.get("code", ""), None)
        if grant is None or not self._proven(request, form, grant):
            return web.json_response({"error": "invalid_grant"}, status=400)
        answer = {
            "access_token": "at-" + secrets.token_hex(8),
            "token_type": "Bearer",
            "id_token": self.token(grant.nonce),
        }
        return await _in_mood(request, self.token_mood, answer)

    def _proven(self, request: web.Request, form: Mapping[str, str], grant: Grant) -> bool:
        """Client secret, PKCE and redirect address, as RFC 6749 and 7636 ask."""
        pair = "ragwork-client:s3cret%2Fwith%2Bodd%3Acharacters"
        basic = f"Basic {base64.b64encode(pair.encode()).decode()}"
        challenge = encoded(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        return (
            request.headers.get("Authorization") == basic
            and challenge == grant.challenge
            and form.get("redirect_uri") == grant.redirect_uri
        )


async def _in_mood(request: web.Request, mood: Mood, answer: Any) -> web.StreamResponse:
    if mood == "error":
        return web.Response(status=500, text="out of order")
    if mood == "nonsense":
        return web.Response(text="<html>", content_type="text/html")
    if mood == "redirect":
        return web.Response(status=302, headers={"Location": str(request.url.with_query("again"))})
    if mood == "slow":
        await asyncio.sleep(_SLOW_S)
    if mood == "huge":
        return web.json_response({**answer, "padding": "x" * 10_000_000})
    if mood == "half":
        response = web.StreamResponse(headers={"Content-Length": "100000"})
        await response.prepare(request)
        await response.write(b'{"id_token": "')
        assert request.transport is not None
        request.transport.close()
        return response
    return web.json_response(answer)


@asynccontextmanager
async def oidc_server() -> AsyncIterator[OidcServer]:
    """A provider on a free local port."""
    provider = OidcServer()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", provider.serve_discovery)
    app.router.add_get("/jwks", provider.serve_jwks)
    app.router.add_post("/token", provider.serve_token)
    async with served(app) as address:
        provider.url = address
        yield provider
