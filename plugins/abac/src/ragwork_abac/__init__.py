"""Attribute policies: deny first, then allow, else deny."""

from pathlib import Path

from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_abac import authz_status, routes
from ragwork_abac.areas import AREAS
from ragwork_abac.config import AbacConfig
from ragwork_abac.gate import DocumentGate, RouteGate
from ragwork_abac.store import AbacPolicyStore


class AbacPlugin:
    """The plugin's hook implementations."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        """See ``PluginSpec``."""
        return PluginInfo(
            name="abac",
            summary="attribute policies over documents and routes",
            # Roles and document grants speak first, so that a refusal names what is really missing.
            after=("rbac", "documents"),
            critical=True,
            config=AbacConfig,
            schema="abac",
            migrations=Path(__file__).parent / "migrations",
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[AbacConfig]) -> Contribution:
        """See ``PluginSpec``."""
        services, config = context.services, context.config
        store = AbacPolicyStore(services)
        return Contribution(
            areas=AREAS,
            gates=(
                RouteGate(store, services.clock, config),
                DocumentGate(store, services.clock, config),
            ),
            routes=(*routes.routes(services, store, config), authz_status.route(config)),
        )


plugin = AbacPlugin()
