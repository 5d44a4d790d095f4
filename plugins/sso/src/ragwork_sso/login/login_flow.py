"""A login, from the redirect to the provider to the session.

Order of a callback: the attempt is taken (and over, whatever follows), the provider read, its issuer
compared, the code redeemed, the token verified; then one transaction finds or makes the account, sets
the role anew and opens the session. No provider is spoken to inside a transaction.
"""

import hmac
from typing import Any, Final

import attrs
from ragwork_hooks.auth import Directory, Provisioning, Role, User
from ragwork_hooks.errors import Problem, ProviderError
from ragwork_hooks.http import Request
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction

from ragwork_sso.feature_check import JIT, SSO, Entitled
from ragwork_sso.login import role_mapping
from ragwork_sso.login.id_token import Expected, IdTokenVerifier, VerifiedIdentity
from ragwork_sso.login.login_audit import LoginRecords
from ragwork_sso.login.login_state import Attempt, OneTimeValues
from ragwork_sso.login.return_urls import own_parameters, with_query
from ragwork_sso.people import account_store
from ragwork_sso.problems import (
    bad_state,
    bad_token,
    exchange_failed,
    no_account,
    no_provider,
)
from ragwork_sso.providers.cached_documents import Fetched
from ragwork_sso.providers.openid import OpenIdClient, Redemption
from ragwork_sso.providers.provider_store import IdentityProvider, ProviderStore
from ragwork_sso.providers.secret_refs import ClientSecrets
from ragwork_sso.sessions import session_tokens
from ragwork_sso.sessions.session_store import Opened, SessionStore

_DEFAULT_SCOPES: Final = ("openid", "email", "profile")


@attrs.frozen(kw_only=True)
class CallbackParams:
    """What the provider sent back with the browser."""

    state: str
    code: str | None
    issuer: str | None
    error: str | None


@attrs.frozen(kw_only=True)
class Login:
    """A finished login: a session, or the address with a one-time code for one."""

    tenant_id: str
    provider_id: str
    user: User
    session: Opened | None = None
    location: str | None = None


@attrs.frozen(kw_only=True)
class LoginServices:
    """What logins are made with."""

    services: Services
    providers: ProviderStore
    sessions: SessionStore
    directory: Directory
    provisioning: Provisioning | None
    one_time: OneTimeValues
    openid: OpenIdClient
    verifier: IdTokenVerifier
    metadata: Fetched[Any]
    secrets: ClientSecrets
    entitled: Entitled
    records: LoginRecords
    clock_skew_s: float


class Logins:
    """Starts and finishes logins."""

    def __init__(self, parts: LoginServices) -> None:
        self._parts = parts

    async def start(self, provider_id: str, redirect_uri: str, return_to: str | None) -> tuple[str, str]:
        """The address to send the browser to, and the cookie that binds the login to it."""
        provider = await self._provider(await self._tenant(provider_id), provider_id)
        began = await self._parts.one_time.begin(provider.tenant_id, provider_id, redirect_uri, return_to)
        scopes = dict.fromkeys(("openid", *(provider.scopes or _DEFAULT_SCOPES)))
        address = with_query(
            provider.auth_url,
            response_type="code",
            client_id=provider.client_id,
            redirect_uri=redirect_uri,
            scope=" ".join(scopes),
            state=began.state,
            nonce=began.attempt.nonce,
            code_challenge=session_tokens.fingerprint(began.attempt.verifier),
            code_challenge_method="S256",
        )
        return address, began.cookie

    async def finish(self, request: Request[Any, Any], provider_id: str, returned: CallbackParams) -> Login:
        """The login that the browser came back from. Raises ``Problem`` with the contract's codes."""
        tenant_id = await self._tenant(provider_id)
        attempt = await self._parts.one_time.finish(tenant_id, provider_id, returned.state, request.headers)
        try:
            if attempt is None:
                raise bad_state()
            provider = await self._provider(tenant_id, provider_id)
            identity = await self._identity(provider, attempt, returned)
            async with self._parts.services.db.tenant(tenant_id) as tx:
                user = await self._person(tx, request, provider_id, identity)
                if attempt.return_to is None:
                    return await self._opened(tx, request, provider_id, user)
        except Problem as problem:
            await self._parts.records.failed(request, tenant_id, provider_id, problem)
            raise
        code = await self._parts.one_time.give_code(tenant_id, provider_id, user.id)
        location = with_query(attempt.return_to, **own_parameters(provider_id, code))
        return Login(tenant_id=tenant_id, provider_id=provider_id, user=user, location=location)

    async def redeem(self, request: Request[Any, Any], provider_id: str, code: str) -> Login:
        """The session that the code of a redirect is worth."""
        tenant_id = await self._tenant(provider_id)
        user_id = await self._parts.one_time.take_code(tenant_id, provider_id, code)
        if user_id is None:
            raise bad_state()
        async with self._parts.services.db.tenant(tenant_id) as tx:
            await self._held(tx, provider_id)
            user = await self._parts.directory.user(tx, user_id)
            if user is None or not user.active:
                raise _inactive()
            return await self._opened(tx, request, provider_id, user)

    async def _tenant(self, provider_id: str) -> str:
        self._parts.entitled.check_enabled()
        tenant_id = await self._parts.providers.tenant_of(provider_id)
        if tenant_id is None:
            raise no_provider(provider_id)
        await self._parts.entitled.check(tenant_id, SSO)
        return tenant_id

    async def _provider(self, tenant_id: str, provider_id: str) -> IdentityProvider:
        async with self._parts.services.db.tenant(tenant_id, "read") as tx:
            provider = await self._parts.providers.find(tx, provider_id)
        if provider is None or not provider.enabled:
            raise no_provider(provider_id)
        return provider

    async def _identity(
        self, provider: IdentityProvider, attempt: Attempt, returned: CallbackParams
    ) -> VerifiedIdentity:
        """Whom the provider vouches for, by the code that it sent."""
        if returned.error is not None or returned.code is None:
            raise Problem("AUTH_FORBIDDEN", "the provider did not let you in")
        await self._check_issuer(provider, returned.issuer)
        secret = self._parts.secrets.resolve(provider.tenant_id, provider.client_secret_ref)
        if secret is None:
            raise exchange_failed("its client secret is not configured")
        redemption = Redemption(
            code=returned.code,
            redirect_uri=attempt.redirect_uri,
            verifier=attempt.verifier,
            client_secret=secret,
        )
        given = await self._parts.openid.redeem(provider, redemption)
        expected = Expected(
            nonce=attempt.nonce,
            access_token=given.access_token,
            now=self._parts.services.clock.now(),
            skew_s=self._parts.clock_skew_s,
        )
        try:
            return await self._parts.verifier.verify(given.id_token, provider, expected)
        except ProviderError as error:
            raise exchange_failed(error.message) from error

    async def _check_issuer(self, provider: IdentityProvider, sent: str | None) -> None:
        """RFC 9207: compared whenever it is there, demanded where the provider says that it sends it."""
        if sent is not None:
            if not hmac.compare_digest(sent.encode(), provider.issuer.encode()):
                raise bad_token("it comes from another issuer")
            return
        try:
            metadata = await self._parts.metadata.get(provider.issuer)
        except ProviderError:
            return  # nothing is promised, and the callback's own address tells providers apart
        if metadata.get("authorization_response_iss_parameter_supported") is True:
            raise bad_token("it does not say which issuer it comes from, as this provider always does")

    async def _held(self, tx: Transaction, provider_id: str) -> IdentityProvider:
        """The provider, still enabled and staying so until the commit."""
        provider = await self._parts.providers.held(tx, provider_id)
        if provider is None or not provider.enabled:
            raise no_provider(provider_id)
        return provider

    async def _person(
        self, tx: Transaction, request: Request[Any, Any], provider_id: str, identity: VerifiedIdentity
    ) -> User:
        """The identity's user, made or with its role set anew."""
        provider = await self._held(tx, provider_id)
        known = await account_store.find(tx, provider, identity)
        linked = None if known else await self._scim_user(tx, provider, identity)
        if known is None and linked is None:
            if not provider.jit_enabled:
                raise no_account()
            await self._parts.entitled.check(tx.tenant_id, JIT)
        new = linked or account_store.new_user_id()
        user_id, made = await account_store.seen(tx, provider, identity, known or new)
        if made and linked is not None:
            by = {"provider_id": provider_id, "because": "scim"}
            await self._parts.records.did(tx, request, "identity.user.linked", user_id, by)
        user = await self._with_role(tx, request, provider, identity, user_id, made=made and linked is None)
        if not user.active:
            raise _inactive()
        return user

    async def _scim_user(
        self, tx: Transaction, provider: IdentityProvider, identity: VerifiedIdentity
    ) -> str | None:
        """The one user that SCIM made for the identity, where an admin has said that the provider's people are SCIM's.

        An address counts only when the provider has verified it; who fits several, or nobody, has an account of
        their own.
        """
        if self._parts.provisioning is None or not provider.links_scim_users:
            return None
        object_id = identity.claims.get("oid")
        ids = [identity.subject, *([object_id] if isinstance(object_id, str) else [])]
        verified = identity.claims.get("email_verified") is True
        return await self._parts.provisioning.match(tx, ids, identity.email if verified else None)

    async def _with_role(
        self,
        tx: Transaction,
        request: Request[Any, Any],
        provider: IdentityProvider,
        identity: VerifiedIdentity,
        user_id: str,
        *,
        made: bool,
    ) -> User:
        """The user with the role of today: the provider's to give, unless SCIM manages the user."""
        directory, by = self._parts.directory, f"sso:{provider.id}"
        provisioning = self._parts.provisioning if provider.links_scim_users else None
        if provisioning is not None and await provisioning.described(tx, (user_id,)):
            return await directory.ensure_user(tx, user_id, Role.READER, by=by)
        role = provider.default_role
        if provider.role_mapping is not None:
            role = role_mapping.role_for(provider.role_mapping, role, identity.claims)
        before = await directory.ensure_user(tx, user_id, role, by=by)
        if made:
            metadata = {"provider_id": provider.id, "role": before.role.label}
            await self._parts.records.did(tx, request, "identity.jit.user_created", user_id, metadata)
        if provider.role_mapping is None or not before.active:
            return before
        user = await directory.set_role(tx, user_id, role, by=by)
        if role != before.role:
            change = {"provider_id": provider.id, "from": before.role.label, "to": role.label}
            event = "identity.role.changed" if user.role == role else "identity.role.requested"
            await self._parts.records.did(tx, request, event, user_id, change)
        return user

    async def _opened(
        self, tx: Transaction, request: Request[Any, Any], provider_id: str, user: User
    ) -> Login:
        session = await self._parts.sessions.open(tx, user.id, provider_id)
        by = {"provider_id": provider_id, "role": user.role.label}
        await self._parts.records.did(
            tx, request, "identity.sso.login.success", user.id, by, session_id=session.id
        )
        return Login(tenant_id=tx.tenant_id, provider_id=provider_id, user=user, session=session)


def _inactive() -> Problem:
    return Problem("AUTH_FORBIDDEN", "your account here is switched off; ask an admin")
