"""API keys, and the development bypass that stands in for them on a developer's machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
from ragwork_hooks.audit import AuditLog
from ragwork_hooks.auth import ApiKeys, Authenticator, Directory
from ragwork_hooks.commands import Command
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.jobs import PeriodicTask
from ragwork_hooks.plans import Plans
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_apikeys.areas import AREAS
from ragwork_apikeys.authenticator import ApiKeyAuthenticator
from ragwork_apikeys.commands import commands
from ragwork_apikeys.config import ApiKeysConfig
from ragwork_apikeys.dev_bypass import BypassRoster, DevBypass
from ragwork_apikeys.key_check import KeyValidator
from ragwork_apikeys.roster import KeyRoster
from ragwork_apikeys.routes import ApiKeyAdminApi
from ragwork_apikeys.self_service_keys import SelfServiceKeys
from ragwork_apikeys.store import KeyStore
from ragwork_apikeys.tokens import FORMAT
from ragwork_apikeys.usage import KeyUsage

_PEPPER: Final = "APIKEY_PEPPER"


class ApiKeysPlugin:
    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="apikeys",
            summary="API keys: authentication, admin API and commands",
            provides=(KeyStore, ApiKeys),
            requires=(Directory,),
            optional=(Plans, AuditLog),
            after=("directory",),
            critical=True,
            config=ApiKeysConfig,
            explained=dict.fromkeys(
                ("SERVICE_API_KEY", "SERVICE_TENANT_ID"),
                "it belongs to the copilot's services, which this release does not have; `ragwork keys create`"
                " makes a key of role editor for a service",
            ),
            secrets=(_PEPPER,),
            schema="apikeys",
            migrations=Path(__file__).parent / "migrations",
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[ApiKeysConfig]) -> Contribution:
        services, config = context.services, context.config
        directory = services.use(Directory)
        store = KeyStore(services, services.secrets.key(_PEPPER), config.cache_ttl_s)
        log = services.use_optional(AuditLog)
        usage = KeyUsage(services, store, log)
        validator = KeyValidator(
            config.inactive_days if config.inactive_enforced else None, services.clock.monotonic
        )
        capped = SelfServiceKeys(store, directory, log, config.max_active_keys)
        keys = ApiKeyAuthenticator(store, directory, validator, usage, config.header)
        bypass = _bypass(config, services.profile)
        return Contribution(
            areas=AREAS,
            authenticators=(keys, *bypass),
            credential_formats=(attrs.evolve(FORMAT, header=config.header),),
            routes=ApiKeyAdminApi(services, store, directory, capped).routes(),
            tickers=(
                PeriodicTask(name="apikeys.last_used", every_s=5.0, run=usage.last_used.write),
                PeriodicTask(name="apikeys.expired", every_s=1.0, run=usage.expired_streams.cut),
                PeriodicTask(name="apikeys.success", every_s=1.0, run=usage.record),
            ),
            rosters=(KeyRoster(store), *((BypassRoster(),) if bypass else ())),
            capabilities={KeyStore: store, ApiKeys: capped},
        )

    @hookimpl
    def ragwork_commands(self) -> Sequence[Command]:
        return commands()


def _bypass(config: ApiKeysConfig, profile: str) -> tuple[Authenticator, ...]:
    for setting, open_door in (
        ("AUTH_DEV_BYPASS", config.dev_bypass),
        ("AUTH_ENABLED", not config.enabled),
    ):
        if open_door and profile == "production":
            raise ConfigError(
                setting, "callers without a credential would be let in", "unset it in production"
            )
    return (DevBypass(config.header),) if config.dev_bypass or not config.enabled else ()


plugin = ApiKeysPlugin()
