"""``ragwork milvus sync``: copy what the index held before this plugin was enabled."""

from typing import Final

from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.commands import Command, CommandContext, Option

from ragwork_milvus.mirror import Mirror


async def _sync(context: CommandContext) -> int:
    tenant_id = context.text("tenant")
    async with context.services.db.tenant(tenant_id) as tx:
        await context.record(tx, AuditDetails(resource_type="tenant", resource_id=tenant_id))
    copied = await context.services.use(Mirror).copy_all(tenant_id)
    context.console.result(
        {"tenant_id": tenant_id, "documents": copied}, f"{copied} documents of {tenant_id} are in Milvus"
    )
    return 0


COMMANDS: Final = (
    Command(
        path=("milvus", "sync"),
        help="Copy every document of a tenant into Milvus",
        options=(Option(name="tenant", help="Tenant id", required=True, type="tenant"),),
        run=_sync,
        audit_event="milvus.synced",
    ),
)
