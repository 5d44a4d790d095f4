"""Opaque credentials: client secrets, API keys, enroll and refresh tokens, and the token of the SDK.

``<prefix><id>_<secret><checksum>``: the id finds the row, the checksum refuses made-up ones without a look-up,
and only a keyed hash is kept. The SDK's token is no row at all: it carries what it says, under a MAC.
"""

import base64
import binascii
import hmac
import json
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import attrs
from ragwork_hooks.credentials import CredentialFormat
from ragwork_hooks.storage import Cache
from ragwork_toolkit.bearer_tokens.format import Checksum, TokenFormat, digest
from ragwork_toolkit.bearer_tokens.lookup import R, TokenLookup

from ragwork_agent_identity.tokens import lineage
from ragwork_agent_identity.tokens.lineage import Lineage

CLIENT_SECRET: Final = "cs_live_"  # noqa: S105  # a prefix
API_KEY: Final = "oak_live_"
ENROLL: Final = "oet_live_"
REFRESH: Final = "ort_live_"
SDK: Final = "oct_sdk_"
_HEX: Final = Checksum(8, lambda body: f"{zlib.crc32(body.encode()):08x}")
_FORMATS: Final = {prefix: TokenFormat(prefix, _HEX) for prefix in (CLIENT_SECRET, API_KEY, ENROLL, REFRESH)}
FORMATS: Final = (
    _FORMATS[CLIENT_SECRET].declared("client secret"),
    _FORMATS[API_KEY].declared("agent's API key"),
    _FORMATS[ENROLL].declared("enroll token"),
    _FORMATS[REFRESH].declared("refresh token"),
    CredentialFormat(name="SDK's service token", prefix=SDK, rest=r"[\w.-]+"),
)


@attrs.frozen(kw_only=True)
class MintedCredential:
    """A new credential: its row's id, the text that is shown once, and the digest that is kept."""

    id: str
    text: str = attrs.field(repr=False)
    digest: bytes = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class SdkClaims:
    """What the SDK's token says: what the access token beside it descends from, its constraints and its end, in
    seconds since 1970.
    """

    lineage: Lineage
    constraints: Mapping[str, object]
    expires_at: int


class Mint:
    """Makes and reads opaque credentials under the deployment's pepper."""

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper

    def new(self, prefix: str) -> MintedCredential:
        credential_id, text = _FORMATS[prefix].mint()
        return MintedCredential(id=credential_id, text=text, digest=self.digest(text))

    def digest(self, text: str) -> bytes:
        """HMAC-SHA256, 32 bytes."""
        return digest(self._pepper, text)

    def lookup(
        self, prefix: str, cache: Cache[R], load: Callable[[str], Awaitable[R | None]]
    ) -> TokenLookup[R]:
        """Where credentials of ``prefix`` are looked up."""
        return TokenLookup(_FORMATS[prefix], self._pepper, cache, load)

    def sdk_token(self, claims: SdkClaims) -> str:
        data = {
            "lineage": lineage.packed(claims.lineage),
            "constraints": dict(claims.constraints),
            "expires_at": claims.expires_at,
        }
        body = _b64(zlib.compress(json.dumps(data, separators=(",", ":")).encode()))
        return f"{SDK}{body}.{_b64(self.digest(SDK + body))}"

    def read_sdk_token(self, token: str) -> SdkClaims | None:
        """What a genuine token says, be it expired or not."""
        body, _, mac = token.removeprefix(SDK).partition(".")
        if not hmac.compare_digest(_b64(self.digest(SDK + body)).encode(), mac.encode()):
            return None
        try:
            claims = json.loads(zlib.decompress(_unb64(body)))
        except zlib.error:  # made by a release whose tokens did not say what they descend from
            return None
        return SdkClaims(**{**claims, "lineage": lineage.unpacked(claims["lineage"])})

    def nonce(self, now: float) -> str:
        """A fresh DPoP nonce: the time under a MAC, so that nothing has to be kept."""
        stamp = str(int(now))
        return f"{stamp}.{_b64(self.digest('dpop-nonce' + stamp))}"

    def nonce_age(self, nonce: str, now: float) -> float | None:
        """Seconds since ``nonce`` was given out; ``None`` for one that never was."""
        stamp, _, _ = nonce.partition(".")
        if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12:
            return None
        expected = f"{stamp}.{_b64(self.digest('dpop-nonce' + stamp))}"
        return now - int(stamp) if hmac.compare_digest(expected.encode(), nonce.encode()) else None


def id_of(token: str, prefix: str) -> str | None:
    """The id in ``token``; ``None`` unless prefix, form and checksum are right."""
    return _FORMATS[prefix].id_of(token)


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        return b"null"
