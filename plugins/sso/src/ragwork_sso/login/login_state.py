"""One-time values of a login: the attempt between start and callback, and the code after it.

Both are filed under the fingerprint of a random text that only the browser has, and taken out with the
very read: of many that come at once, one gets it. They are bound to tenant and provider by their place.
"""

import hmac
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

import attrs
import orjson
from ragwork_hooks.auth import Headers
from ragwork_hooks.storage import SharedState

from ragwork_sso.sessions import session_tokens

#: Seconds that an application has to turn the code of a redirect into a session.
CODE_TTL_S: Final = 60.0
_COOKIE: Final = "ragwork_sso_"


@attrs.frozen(kw_only=True)
class Attempt:
    """A login under way. ``binding`` is the fingerprint of the browser's cookie."""

    binding: str
    nonce: str = attrs.field(repr=False)
    verifier: str = attrs.field(repr=False)
    redirect_uri: str
    return_to: str | None


@attrs.frozen(kw_only=True)
class StartedLogin:
    """What a new attempt gives to the browser: ``state`` in the address, ``cookie`` beside it."""

    attempt: Attempt
    state: str = attrs.field(repr=False)
    cookie: str = attrs.field(repr=False)


class OneTimeValues:
    """Puts and takes; every value can be taken once."""

    def __init__(self, state: SharedState, ttl_s: float) -> None:
        """``ttl_s`` is how long an attempt may take."""
        self._state = state
        self._ttl_s = ttl_s

    async def begin(
        self, tenant_id: str, provider_id: str, redirect_uri: str, return_to: str | None
    ) -> StartedLogin:
        """A new attempt, bound to the browser that keeps its cookie."""
        state, secret = session_tokens.secret(), session_tokens.secret()
        attempt = Attempt(
            binding=session_tokens.fingerprint(secret),
            nonce=session_tokens.secret(),
            verifier=session_tokens.secret(),
            redirect_uri=redirect_uri,
            return_to=return_to,
        )
        value = orjson.dumps(attrs.asdict(attempt))
        await self._state.put(tenant_id, _key("login", provider_id, state), value, self._ttl_s)
        return StartedLogin(
            attempt=attempt, state=state, cookie=_cookie(state, secret, redirect_uri, int(self._ttl_s))
        )

    async def finish(self, tenant_id: str, provider_id: str, state: str, headers: Headers) -> Attempt | None:
        """The attempt of ``state``, which is over with this; ``None`` unless this browser began it."""
        value = await self._state.pop(tenant_id, _key("login", provider_id, state))
        if value is None:
            return None
        attempt = Attempt(**orjson.loads(value))
        secret = _sent(headers, _cookie_name(state))
        if secret is None or not hmac.compare_digest(session_tokens.fingerprint(secret), attempt.binding):
            return None
        return attempt

    async def give_code(self, tenant_id: str, provider_id: str, user_id: str) -> str:
        """A code that is worth one session of ``user_id``."""
        code = session_tokens.secret()
        await self._state.put(tenant_id, _key("code", provider_id, code), user_id.encode(), CODE_TTL_S)
        return code

    async def take_code(self, tenant_id: str, provider_id: str, code: str) -> str | None:
        """The user that ``code`` stands for, once."""
        value = await self._state.pop(tenant_id, _key("code", provider_id, code))
        return None if value is None else value.decode()


def _key(kind: str, provider_id: str, secret: str) -> str:
    return f"sso.{kind}/{provider_id}/{session_tokens.fingerprint(secret)}"


def _cookie_name(state: str) -> str:
    """One name a login, so that two tabs don't end each other's."""
    return _COOKIE + session_tokens.fingerprint(state)[:16].replace("-", "0")


def _cookie(state: str, secret: str, redirect_uri: str, ttl_s: int) -> str:
    place = urlsplit(redirect_uri)
    secure = "; Secure" if place.scheme == "https" else ""
    return (
        f"{_cookie_name(state)}={secret}; Path={place.path}; Max-Age={ttl_s}; HttpOnly; SameSite=Lax{secure}"
    )


def _sent(headers: Headers, name: str) -> str | None:
    """The cookie ``name``; ``None`` when it is there twice, since then somebody else set one."""
    sent = "; ".join(headers.getall("cookie", []))
    if sent.count(f"{name}=") != 1:
        return None
    try:
        morsel = SimpleCookie(sent).get(name)
    except CookieError:
        return None
    return None if morsel is None else morsel.value
