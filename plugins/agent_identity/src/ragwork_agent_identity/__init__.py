"""Agent identity: who agents are, what they may do, and the tokens that say so."""

from pathlib import Path

from ragwork_hooks.audit import AuditLog
from ragwork_hooks.auth import Directory
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_agent_identity.config import AgentsConfig


class AgentsPlugin:
    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="agents",
            summary="agent identity: policies, OAuth 2.0 tokens, delegation and revocation",
            requires=(Directory,),
            optional=(AuditLog,),
            after=("directory",),
            config=AgentsConfig,
            secrets=("AGENT_TOKEN_PEPPER", "AGENT_KEY_ENCRYPTION_KEY"),
            schema="agents",
            migrations=Path(__file__).parent / "migrations",
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[AgentsConfig]) -> Contribution:
        # Cryptography is imported when the platform boots, not when plugins are listed.
        from ragwork_agent_identity.wiring import contribution

        return contribution(context)


plugin = AgentsPlugin()
