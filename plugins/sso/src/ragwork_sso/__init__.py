"""Single sign-on with OpenID Connect: providers, logins, sessions and the people behind them."""

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

from ragwork_hooks.audit import AuditLog
from ragwork_hooks.auth import Directory, Provisioning
from ragwork_hooks.jobs import PeriodicTask
from ragwork_hooks.operations import MaintenanceTask
from ragwork_hooks.plans import Plans
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl
from ragwork_hooks.services import Services
from ragwork_toolkit.tenants import for_each_tenant

from ragwork_sso.areas import AREAS
from ragwork_sso.authenticator import SessionAuthenticator
from ragwork_sso.config import SsoConfig
from ragwork_sso.feature_check import Entitled
from ragwork_sso.login.id_token import IdTokenVerifier
from ragwork_sso.login.login_audit import LoginRecords
from ragwork_sso.login.login_flow import Logins, LoginServices
from ragwork_sso.login.login_routes import LoginApi
from ragwork_sso.login.login_state import OneTimeValues
from ragwork_sso.login.return_urls import ReturnAddresses, base_url
from ragwork_sso.people.user_routes import UserApi
from ragwork_sso.providers.cached_documents import Fetched
from ragwork_sso.providers.openid import OpenIdClient
from ragwork_sso.providers.provider_check import ProviderCheck
from ragwork_sso.providers.provider_routes import ProviderApi
from ragwork_sso.providers.provider_store import ProviderStore
from ragwork_sso.providers.secret_refs import ClientSecrets, bound_names
from ragwork_sso.sessions.session_store import KEPT_DAYS, SessionStore
from ragwork_sso.sessions.session_tokens import FORMAT

_PEPPER: Final = "SSO_SESSION_PEPPER"
#: Keys and metadata older than this are asked for again, in seconds.
_FRESH_S: Final = 3600.0
#: One URL is asked no more often than this, in seconds, whatever comes in.
_KEYS_SPACING_S: Final = 10.0
_METADATA_SPACING_S: Final = 60.0


class SsoPlugin:
    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="sso",
            summary="single sign-on with OpenID Connect",
            requires=(Directory,),
            optional=(Plans, AuditLog, Provisioning),
            after=("directory",),
            config=SsoConfig,
            secrets=(_PEPPER,),
            reads=("SSO_CLIENT_SECRET_<NAME>",),
            schema="sso",
            migrations=Path(__file__).parent / "migrations",
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[SsoConfig]) -> Contribution:
        services, config = context.services, context.config
        production = services.profile == "production"
        returns = ReturnAddresses(config.allowed_redirect_hosts, production=production)
        own_url = None if config.base_url is None else base_url("SSO_BASE_URL", config.base_url)
        parts = _parts(services, config)
        authenticator = SessionAuthenticator(
            services, parts.sessions, parts.directory, enabled=config.enabled
        )
        people = LoginApi(
            services,
            logins=Logins(parts),
            providers=parts.providers,
            sessions=parts.sessions,
            entitled=parts.entitled,
            returns=returns,
            base_url=own_url,
            public_discovery=config.public_discovery,
        )
        providers = ProviderApi(
            providers=parts.providers,
            directory=parts.directory,
            sessions=parts.sessions,
            secrets=parts.secrets,
            check=ProviderCheck(services, parts.providers, parts.secrets, parts.openid),
            entitled=parts.entitled,
            production=production,
        )
        users = UserApi(
            directory=parts.directory,
            provisioning=parts.provisioning,
            providers=parts.providers,
            entitled=parts.entitled,
        )
        return Contribution(
            areas=AREAS,
            routes=(*people.routes(), *providers.routes(), *users.routes()),
            authenticators=(authenticator,),
            credential_formats=(FORMAT,),
            tickers=(PeriodicTask(name="sso.expired", every_s=1.0, run=authenticator.expired_streams.cut),),
            warm=_warm,
            maintenance=(
                MaintenanceTask(
                    name="prune_sso_sessions", run=_pruning(services, parts), keeps_days=KEPT_DAYS
                ),
            ),
        )


def _parts(services: Services, config: SsoConfig) -> LoginServices:
    openid = OpenIdClient(services.egress)
    clock = services.clock.monotonic
    lifetime = timedelta(hours=config.session_ttl_h)
    return LoginServices(
        services=services,
        providers=ProviderStore(services),
        sessions=SessionStore(services, services.secrets.key(_PEPPER), lifetime),
        directory=services.use(Directory),
        provisioning=services.use_optional(Provisioning),
        one_time=OneTimeValues(services.state, config.login_ttl_s),
        openid=openid,
        verifier=IdTokenVerifier(Fetched(openid.keys, clock, fresh_s=_FRESH_S, spacing_s=_KEYS_SPACING_S)),
        metadata=Fetched(openid.metadata, clock, fresh_s=_FRESH_S, spacing_s=_METADATA_SPACING_S),
        secrets=ClientSecrets(services.secrets, bound_names(config.client_secret_names)),
        entitled=Entitled(services.use_optional(Plans), enabled=config.enabled),
        records=LoginRecords(services, services.use_optional(AuditLog)),
        clock_skew_s=config.clock_skew_s,
    )


async def _warm() -> None:
    """Import what verifies tokens before the first login waits for it."""
    await asyncio.to_thread(importlib.import_module, "joserfc.jwt")


def _pruning(services: Services, parts: LoginServices) -> Callable[[], Awaitable[int]]:
    async def prune() -> int:
        tenants = await parts.directory.tenants()
        return (await for_each_tenant(services.db, tenants, parts.sessions.prune)).complete()

    return prune


plugin = SsoPlugin()
