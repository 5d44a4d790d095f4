"""In whose name a command asks.

Users: agent, evals.
"""

from typing import Final

from ragwork_hooks.auth import Directory, Principal, Role
from ragwork_hooks.commands import CommandContext, Option
from ragwork_hooks.errors import not_found

#: Who asks when ``--user`` names nobody: a reader without groups, who sees what the tenant may see.
ANYBODY: Final = "cli"
#: The option that a command with ``asking_user`` has, beside ``--tenant``.
USER: Final = Option(name="user", help="whose rights to ask with; a plain reader when not given")


async def asking_user(context: CommandContext) -> Principal:
    """The user of ``--user`` with the rights of today, else ``ANYBODY``. Raises ``Problem`` 404 for an unknown tenant
    or user.
    """
    tenant_id, user_id = context.text("tenant"), context.options["user"]
    role, groups = Role.READER, frozenset[str]()
    directory = context.services.use_optional(Directory)
    if directory is not None:
        async with context.services.db.tenant(tenant_id, "read") as tx:
            await directory.require_tenant(tx)
            user = await directory.user(tx, user_id) if isinstance(user_id, str) else None
        if user is not None and user.active:
            role, groups = user.role, user.groups
        elif isinstance(user_id, str):
            raise not_found("user", user_id)
    return Principal(
        tenant_id=tenant_id,
        user_id=user_id if isinstance(user_id, str) else ANYBODY,
        credential_id=ANYBODY,
        kind="system",
        role=role,
        groups=groups,
    )
