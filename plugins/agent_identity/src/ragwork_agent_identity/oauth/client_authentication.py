"""Client authentication: secret in the header or the form, or a signed assertion; one method at a time."""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from typing import Any, Final, Protocol
from urllib.parse import unquote_plus

import attrs
from ragwork_hooks.auth import Headers
from ragwork_hooks.errors import Problem
from ragwork_hooks.services import Services

from ragwork_agent_identity.agents.agent_store import AgentStore, Snapshot
from ragwork_agent_identity.tokens import opaque_tokens, token_signing
from ragwork_agent_identity.tokens.opaque_tokens import Mint
from ragwork_agent_identity.tokens.token_issuer import invalid_credentials, standing
from ragwork_agent_identity.tokens.token_signing import Unverified

#: Why proofs that name their addressee can't be taken.
NAMELESS: Final = (
    "the operator has not set OAUTH_ISSUER, so this server has no name that it could be made for"
)
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_CLIENT_ID: Final = re.compile(r"agt_[0-9a-f]{24}", re.ASCII)
_MAX_ASSERTION_S: Final = 300
_SKEW_S: Final = 30
# Compared with when there is no secret, so that an unknown client takes the same steps as a known one.
_NO_DIGEST: Final = bytes(32)


class ClientFields(Protocol):
    """The fields of a form that authenticate a client."""

    @property
    def client_id(self) -> str | None: ...
    @property
    def client_secret(self) -> str | None: ...
    @property
    def client_assertion(self) -> str | None: ...
    @property
    def client_assertion_type(self) -> str | None: ...


@attrs.frozen(kw_only=True)
class _Secret:
    client_id: str
    secret: str = attrs.field(repr=False)


class ClientAuthenticator:
    """Credentials → an agent that may act. Raises ``Problem`` 401 AUTH_INVALID_CREDENTIALS and kin."""

    def __init__(self, services: Services, agents: AgentStore, mint: Mint) -> None:
        self._clock = services.clock
        self._state = services.state
        self._agents = agents
        self._mint = mint

    async def authenticate(
        self, headers: Headers, form: ClientFields, audiences: tuple[str, ...]
    ) -> Snapshot:
        """``audiences`` are what an assertion may be addressed to; none when this server has no name."""
        basic = _basic(headers)
        used = [basic is not None, form.client_secret is not None, form.client_assertion is not None]
        if sum(used) > 1:
            raise Problem("VALIDATION_ERROR", "use one method of client authentication, not two", status=400)
        if form.client_assertion is not None:
            return await self._by_assertion(form, audiences)
        given = basic or _posted(form)
        if basic is not None and form.client_id not in (None, basic.client_id):
            raise Problem("VALIDATION_ERROR", "client_id differs from the Authorization header", status=400)
        if given is None:
            raise invalid_credentials("client authentication is missing")
        return await self._by_secret(given)

    async def _by_secret(self, given: _Secret) -> Snapshot:
        agent = await self._found(given.client_id)
        secret_id = opaque_tokens.id_of(given.secret, opaque_tokens.CLIENT_SECRET) or ""
        held = _NO_DIGEST if agent is None else agent.secrets.get(secret_id, _NO_DIGEST)
        known = hmac.compare_digest(self._mint.digest(given.secret), held)
        if agent is None or not known or not agent.holds(secret_id, self._clock.now()):
            raise invalid_credentials()
        return attrs.evolve(standing(agent, agent.tenant_id), proven_by=secret_id)

    async def _by_assertion(self, form: ClientFields, audiences: tuple[str, ...]) -> Snapshot:
        assertion = form.client_assertion or ""
        if not audiences:
            raise invalid_credentials(f"the client assertion can't be checked: {NAMELESS}")
        if form.client_assertion_type != ASSERTION_TYPE:
            raise Problem("VALIDATION_ERROR", f"client_assertion_type must be {ASSERTION_TYPE}", status=400)
        try:
            client_id = token_signing.text(token_signing.unverified_claims(assertion), "sub")
            agent = await self._found(client_id)
            if agent is None or agent.jwks is None or form.client_id not in (None, client_id):
                raise Unverified("its subject has no registered key")
            named = _key(agent.jwks, token_signing.header_of(assertion))
            claims = token_signing.verified(assertion, token_signing.client_key(named))
            self._check(claims, client_id, audiences)
            jti = token_signing.text(claims, "jti")
        except Unverified as error:
            raise invalid_credentials(f"the client assertion is refused: {error}") from error
        fresh = await self._state.put_once(
            agent.tenant_id, f"agents.assertion/{agent.id}/{jti[:200]}", b"1", _MAX_ASSERTION_S + 2 * _SKEW_S
        )
        if not fresh:
            raise invalid_credentials("the client assertion was used before")
        return attrs.evolve(standing(agent, agent.tenant_id), proven_by=token_signing.key_id(named))

    def _check(self, claims: Any, client_id: str, audiences: tuple[str, ...]) -> None:
        now = self._clock.now().timestamp()
        if claims.get("iss") != client_id:
            raise Unverified("iss and sub differ")
        audience = claims.get("aud")
        if (audience[0] if isinstance(audience, list) and len(audience) == 1 else audience) not in audiences:
            raise Unverified("it is addressed to somebody else")
        if not now < token_signing.number(claims, "exp") <= now + _MAX_ASSERTION_S + _SKEW_S:
            raise Unverified(f"it must expire within {_MAX_ASSERTION_S} s")
        for name in ("iat", "nbf"):
            if name in claims and token_signing.number(claims, name) > now + _SKEW_S:
                raise Unverified("it is from the future")

    async def _found(self, client_id: str) -> Snapshot | None:
        if not _CLIENT_ID.fullmatch(client_id):
            return None
        tenant_id = await self._agents.tenant_of(client_id)
        return None if tenant_id is None else await self._agents.snapshot(tenant_id, client_id)


def _posted(form: ClientFields) -> _Secret | None:
    if form.client_id is None or form.client_secret is None:
        return None
    return _Secret(client_id=form.client_id, secret=form.client_secret)


def _basic(headers: Headers) -> _Secret | None:
    """``Authorization: Basic``, both halves form-decoded (RFC 6749 §2.3.1)."""
    values = headers.getall("Authorization", [])
    basics = [value for value in values if value[:6].lower() == "basic "]
    if not basics:
        return None
    if len(values) > 1:
        raise Problem("VALIDATION_ERROR", "the Authorization header is there more than once", status=400)
    try:
        decoded = base64.b64decode(basics[0][6:].strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid_credentials("the Authorization header is malformed") from None
    client_id, colon, secret = decoded.partition(":")
    if not colon:
        raise invalid_credentials("the Authorization header is malformed")
    return _Secret(client_id=unquote_plus(client_id), secret=unquote_plus(secret))


def _key(jwks: Any, header: Any) -> Mapping[str, Any]:
    """The registered key that the header names, or the only one there is."""
    keys = jwks["keys"]
    named = [key for key in keys if key.get("kid") == header.get("kid")] or (keys if len(keys) == 1 else [])
    if len(named) != 1:
        raise Unverified("it names no registered key")
    found: Mapping[str, Any] = named[0]
    return found
