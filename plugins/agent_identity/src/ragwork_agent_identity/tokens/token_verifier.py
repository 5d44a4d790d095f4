"""Is this access token ours, whole, in time, and not revoked."""

from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Final

import attrs
from ragwork_hooks.auth import Headers
from ragwork_hooks.errors import Problem
from ragwork_hooks.services import Services

from ragwork_agent_identity.agents.agent_store import Snapshot
from ragwork_agent_identity.tokens import lineage, token_signing
from ragwork_agent_identity.tokens.lineage import Lineage
from ragwork_agent_identity.tokens.signing_keys import Keyring
from ragwork_agent_identity.tokens.token_signing import Unverified
from ragwork_agent_identity.tokens.token_validity import Standing, Stood

TYP: Final = "at+jwt"
_SKEW_S: Final = 30


@attrs.frozen(kw_only=True)
class AccessToken:
    """A verified token. ``stood`` is everybody it descends from as they are now; ``expires_at`` in seconds since
    1970.
    """

    stood: Stood
    jti: str
    scopes: tuple[str, ...]
    audience: str
    expires_at: int
    depth: int
    task_id: str | None
    constraints: Mapping[str, object]
    jkt: str | None
    claims: Mapping[str, Any]

    @property
    def agent(self) -> Snapshot:
        """The agent that the token is for."""
        return self.stood.agents[0]

    @property
    def lineage(self) -> Lineage:
        return self.stood.lineage


class AccessTokenVerifier:
    """Verifies against the published keys, and asks whether all that a token descends from still stands."""

    def __init__(self, services: Services, keys: Keyring, standing: Standing, issuer: str | None) -> None:
        self._clock = services.clock
        self._keys = keys
        self._standing = standing
        self._issuer = issuer

    async def verify(self, token: str, peer: str | None = None) -> AccessToken:
        """The token, judged against now. Raises ``Unverified`` saying why not."""
        claims = await self.claims(token, TYP)
        kid = str(token_signing.header_of(token).get("kid"))
        return _read(claims, await self._standing.check(lineage.of_claims(claims, kid), peer))

    async def claims(self, token: str, typ: str) -> Mapping[str, Any]:
        """The claims of a token that this server signed and that is in time."""
        header = token_signing.header_of(token)
        if header.get("alg") != token_signing.ALGORITHM:
            raise Unverified(f"it is not signed with {token_signing.ALGORITHM}")
        tenant_id = token_signing.text(token_signing.unverified_claims(token), "tenant_id")
        key = await self._keys.public_key(tenant_id, str(header.get("kid")))
        if key is None:
            raise Unverified("its key is not one of the tenant's")
        claims = token_signing.verified(token, key, typ)
        now = self._clock.now().timestamp()
        if token_signing.number(claims, "exp") <= now:
            raise Unverified("it has expired")
        if token_signing.number(claims, "iat") > now + _SKEW_S:
            raise Unverified("it is from the future")
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise Unverified("it has another issuer")
        return claims


class IssuerUrl:
    """The name under which this server issues, as configured or, outside production, as it was called."""

    def __init__(self, configured: str | None) -> None:
        self.configured = None if configured is None else configured.rstrip("/")

    def of(self, headers: Headers) -> str:
        """The issuer of one request, without a trailing slash. ``Problem`` 400 for a Host that is none."""
        if self.configured is not None:
            return self.configured
        host = headers.get("Host") or ""
        if (
            not host
            or len(host) > 255
            or not all(c.isascii() and (c.isalnum() or c in ".-:[]") for c in host)
        ):
            raise Problem("VALIDATION_ERROR", "the Host header is no host name", status=400)
        return f"http://{host}"

    def audience(self, headers: Headers, peer: str) -> str | None:
        """What proofs and assertions must be addressed to. A Host header is believed only between two programs on
        this machine: else whoever was sent a proof could pass it on to us under their own name.
        """
        if self.configured is not None:
            return self.configured
        host = (headers.get("Host") or "").rpartition(":")[0] or headers.get("Host") or ""
        return self.of(headers) if _is_loopback(peer) and _is_loopback(host.strip("[]")) else None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def default_audience(tenant_id: str) -> str:
    """The audience of a token that asks for none: this platform, for one tenant."""
    return f"urn:ragwork:tenant:{tenant_id}"


def seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _read(claims: Mapping[str, Any], stood: Stood) -> AccessToken:
    about = claims.get("agent")
    confirmed = claims.get("cnf")
    if not isinstance(about, dict) or not isinstance(about.get("constraints"), dict):
        raise Unverified("it does not say what its agent may do")
    return AccessToken(
        stood=stood,
        jti=token_signing.text(claims, "jti"),
        scopes=tuple(token_signing.text(claims, "scope").split(" ")),
        audience=token_signing.text(claims, "aud"),
        expires_at=int(token_signing.number(claims, "exp")),
        depth=int(token_signing.number(about, "delegation_depth")),
        task_id=about.get("task_id"),
        constraints=about["constraints"],
        jkt=str(confirmed.get("jkt")) if isinstance(confirmed, dict) else None,
        claims=claims,
    )
