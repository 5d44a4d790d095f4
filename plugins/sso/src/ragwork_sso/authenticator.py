"""The authenticator of sessions."""

from typing import Final

from ragwork_hooks.auth import Credential, Directory, Principal, User
from ragwork_hooks.errors import Problem, unauthenticated
from ragwork_hooks.services import Services
from ragwork_toolkit.bearer_tokens.expiry import ExpiredStreams
from ragwork_toolkit.bearer_tokens.lookup import authenticate, checking

from ragwork_sso.sessions.session_store import Session, SessionStore
from ragwork_sso.sessions.session_tokens import SESSION

_UNAUTHORIZED: Final = "AUTH_UNAUTHORIZED"
_UNKNOWN: Final = "the session is malformed or unknown"


class SessionAuthenticator:
    """Token → principal. Implements ``ragwork_hooks.auth.Authenticator``.

    Warm, it asks nobody: the session and its user come from caches that every change invalidates. The
    role is the user's of this moment, never the one of the login.
    """

    def __init__(
        self, services: Services, sessions: SessionStore, directory: Directory, *, enabled: bool
    ) -> None:
        self.name = "sso"
        self._services = services
        self._sessions = sessions
        self._directory = directory
        self._enabled = enabled
        self.expired_streams = ExpiredStreams(services, sessions.lookup)

    async def authenticate(self, credential: Credential) -> Principal | None:
        token = credential.bearer
        if token is None or not token.startswith(SESSION.prefix):
            return None
        if not self._enabled:
            raise unauthenticated(_UNAUTHORIZED, _UNKNOWN)
        session, user = await self._look_up(token)
        self.expired_streams.note(session)
        return Principal(
            tenant_id=session.tenant_id,
            user_id=user.id,
            credential_id=session.id,
            kind="sso_session",
            role=user.role,
            groups=user.groups,
            expires_at=session.expires_at,
        )

    async def _look_up(self, token: str) -> tuple[Session, User]:
        session = await authenticate(self._sessions.lookup, token, _UNAUTHORIZED, _UNKNOWN)
        with checking():
            user = await self._directory.current(session.tenant_id, session.user_id)
        if session.revoked_at is not None:
            raise _refused("this session was ended", session, "AUTH_REVOKED_KEY")
        if user is None or not user.active:
            raise _refused("the user of this session is not active", session)
        if session.expired(self._services.clock.monotonic()):
            raise _refused("this session has expired; log in again", session, "AUTH_EXPIRED_KEY")
        return session, user


def _refused(message: str, proven: Session, code: str = _UNAUTHORIZED) -> Problem:
    return unauthenticated(code, message, proven.tenant_id)
