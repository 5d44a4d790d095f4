"""SCIM 2.0: an identity provider provisions users and groups, and deprovisions them within a second."""

from datetime import timedelta
from pathlib import Path
from typing import Final

from ragwork_hooks.audit import AuditLog
from ragwork_hooks.auth import Directory, Provisioning
from ragwork_hooks.jobs import PeriodicTask
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_scim.admin_routes import ScimAdminApi
from ragwork_scim.areas import AREAS
from ragwork_scim.authenticator import TokenAuthenticator
from ragwork_scim.config import ScimConfig
from ragwork_scim.directory_sync import DirectorySync
from ragwork_scim.gates import ScimGate
from ragwork_scim.routes import ScimRoutes
from ragwork_scim.tokens.token_format import FORMAT
from ragwork_scim.tokens.token_store import ScimTokenStore
from ragwork_scim.users.provisioning import ScimProvisioning

_PEPPER: Final = "SCIM_TOKEN_PEPPER"


class ScimPlugin:
    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="scim",
            summary="SCIM 2.0: users and groups from an identity provider",
            provides=(Provisioning,),
            requires=(Directory,),
            optional=(AuditLog,),
            after=("directory",),
            config=ScimConfig,
            secrets=(_PEPPER,),
            schema="scim",
            migrations=Path(__file__).parent / "migrations",
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[ScimConfig]) -> Contribution:
        services, config = context.services, context.config
        rights = DirectorySync(services.use(Directory), services.use_optional(AuditLog))
        pepper = services.secrets.key(_PEPPER)
        store = ScimTokenStore(services, pepper, timedelta(days=config.token_ttl_days))
        tokens = TokenAuthenticator(services, store)
        return Contribution(
            areas=AREAS,
            routes=(*ScimAdminApi(store, rights).routes(), *ScimRoutes(config, rights).all()),
            authenticators=(tokens,),
            credential_formats=(FORMAT,),
            capabilities={Provisioning: ScimProvisioning()},
            gates=(ScimGate(config.enabled),),
            tickers=(PeriodicTask(name="scim.last_used", every_s=5.0, run=tokens.last_used.write),),
        )


plugin = ScimPlugin()
