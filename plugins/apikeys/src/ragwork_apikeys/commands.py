"""``ragwork keys create | list | revoke | rotate``: what an operator does at the machine itself."""

from datetime import timedelta
from typing import Final

from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Directory, Role, User
from ragwork_hooks.commands import Command, CommandContext, Option
from ragwork_hooks.errors import ConfigError, Problem, not_found
from ragwork_hooks.plans import Plans
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.bearer_tokens.format import is_id, new_id

from ragwork_apikeys import events
from ragwork_apikeys.key_check import CachedKey
from ragwork_apikeys.store import KeyChange, KeyStore, KeyView
from ragwork_apikeys.tokens import KEY

_LONGEST_OVERLAP: Final = timedelta(days=365)
_LONGEST_LIFETIME: Final = timedelta(days=3650)
_PAGE: Final = 500


def commands() -> tuple[Command, ...]:
    """All commands of the plugin."""
    tenant = Option(name="tenant", help="the tenant's id", required=True, type="tenant")
    key_id = Option(
        name="key_id", help="the key's id, as create and list print it", positional=True, required=True
    )
    return (
        Command(
            path=("keys", "create"),
            help="Make an API key; tenant and user are made when new. The key is shown this once.",
            options=(
                tenant,
                Option(
                    name="role",
                    help="what the key may do",
                    required=True,
                    choices=("reader", "editor", "admin"),
                ),
                Option(name="name", help="what the key is for", required=True),
                Option(name="user", help="the user behind the key; by default one of its own"),
                Option(
                    name="expires",
                    help="after what time it ends, such as 90d; never when not given",
                    type="duration",
                ),
                Option(name="platform", help="also allow what touches more than one tenant", flag=True),
                Option(name="plan", help="the tenant's plan; a new tenant gets the default one"),
            ),
            run=create,
            audit_event=events.CREATED,
        ),
        Command(
            path=("keys", "list"),
            help="List a tenant's API keys, newest first, without their secrets",
            options=(
                tenant,
                Option(name="inactive-only", help="only expired keys and those unused too long", flag=True),
            ),
            run=list_keys,
            audit_event=None,
        ),
        Command(
            path=("keys", "revoke"),
            help="Revoke an API key for good, in every process within a second",
            options=(key_id,),
            run=revoke,
            audit_event=events.REVOKED,
        ),
        Command(
            path=("keys", "rotate"),
            help="Make an API key's successor; the key itself ends after the overlap",
            options=(
                key_id,
                Option(
                    name="overlap",
                    help="how long both work, such as 24h or 30m",
                    default="0s",
                    type="duration",
                ),
            ),
            run=rotate,
            audit_event=events.ROTATED,
        ),
    )


async def create(context: CommandContext) -> int:
    """Make a key for ``--user``, or for a user of the key's own name when there is none."""
    tenant_id, lifetime = context.text("tenant"), _lifetime(context)
    role = Role.parse(context.text("role"))
    name = _bounded("name", context.text("name"))
    given = context.options["user"]
    user_id = _bounded("user", given) if isinstance(given, str) else f"key:{new_id()}"
    store = context.services.use(KeyStore)
    async with context.services.db.tenant(tenant_id) as tx:
        user = await _user(context, tx, user_id, role)
        minted = await store.create(
            tx,
            user_id=user.id,
            name=name,
            role=role,
            platform=bool(context.options["platform"]),
            lifetime=lifetime,
        )
        await _plan(context, tx)
        await context.record(tx, events.made(minted.id, user.id, role, name))
    context.console.result(
        {"id": minted.id, "key": minted.token},
        f"{minted.token}\nThis key ({minted.id}) is shown once; keep it safe.",
    )
    return 0


async def list_keys(context: CommandContext) -> int:
    """Print every key of the tenant."""
    store, directory = context.services.use(KeyStore), context.services.use(Directory)
    views: list[KeyView] = []
    async with context.services.db.tenant(context.text("tenant"), "read") as tx:
        await directory.require_tenant(tx)
        while True:
            page = await store.page(
                tx,
                only_inactive=bool(context.options["inactive-only"]),
                inactive_days=context.config.inactive_days,
                limit=_PAGE,
                offset=len(views),
            )
            views.extend(page)
            if len(page) < _PAGE:
                break
        users = await directory.users(tx, {view.user_id for view in views})
    rows = [_row(view, users.get(view.user_id)) for view in views]
    columns = ("id", "role", "state", "user", "name", "created_at", "last_used_at", "expires_at")
    context.console.table(rows, columns, "no keys")
    return 0


async def revoke(context: CommandContext) -> int:
    """Revoke; a second time changes nothing."""
    key = await _key(context)
    async with context.services.db.tenant(key.tenant_id) as tx:
        store = context.services.use(KeyStore)
        before = await store.locked(tx, key.id)
        view = await store.change(tx, key.id, KeyChange(revoke=True))
        if before.revoked_at is None:
            await context.record(tx, events.of(view.id))
    assert view.revoked_at is not None  # what the statement has just set
    context.console.result(
        {"id": view.id, "revoked_at": view.revoked_at.isoformat()}, f"{view.id} is revoked"
    )
    return 0


async def rotate(context: CommandContext) -> int:
    """Make the successor and end the key after the overlap."""
    overlap = _between("overlap", context.duration("overlap"), timedelta(), _LONGEST_OVERLAP)
    key = await _key(context)
    async with context.services.db.tenant(key.tenant_id) as tx:
        minted, ends_at = await context.services.use(KeyStore).rotate(tx, key.id, overlap)
        await context.record(tx, events.of(minted.id, replaces=key.id))
    context.console.result(
        {"id": minted.id, "key": minted.token, "replaces": key.id, "replaced_until": ends_at.isoformat()},
        f"{minted.token}\nThis key ({minted.id}) is shown once. {key.id} works until {ends_at.isoformat()}.",
    )
    return 0


async def _user(context: CommandContext, tx: Transaction, user_id: str, role: Role) -> User:
    """The key's user. The operator's word counts: a role below the key's is raised, where nobody else must agree."""
    directory = context.services.use(Directory)
    before = await directory.ensure_user(tx, user_id, role, by=context.actor, founding=True)
    if not before.active:
        raise Problem("CONFLICT", f"user {user_id!r} is disabled; a key of theirs would not work")
    if before.role >= role:
        return before
    user = await directory.set_role(tx, user_id, role, by=context.actor, founding=True)
    change = {"from": before.role.label, "to": role.label}
    event = "identity.role.changed"
    if user.role < role:
        event = "identity.role.requested"
        context.console.say(
            f"user {user_id} is {user.role.label}, and so is the key: two admins must approve {role.label},"
            " see /v1/admin/identity/role-requests"
        )
    else:
        context.console.say(f"user {user_id} was {before.role.label} and is now {role.label}")
    await context.record(
        tx, AuditDetails(event=event, resource_type="user", resource_id=user_id, metadata=change)
    )
    return user


async def _plan(context: CommandContext, tx: Transaction) -> None:
    """The operator's word counts; without it the tenant keeps its plan, or has the default one from now on."""
    plans, wanted = context.services.use_optional(Plans), context.options["plan"]
    if plans is not None:
        await plans.ensure(tx, wanted if isinstance(wanted, str) else None)
    elif wanted is not None:
        context.console.say("plans are not enabled: --plan has no effect")


async def _key(context: CommandContext) -> CachedKey:
    key_id = context.text("key_id")
    key = await context.services.use(KeyStore).lookup.find(key_id) if is_id(key_id) else None
    if key is None:
        raise not_found("API key", key_id)
    return key


def _row(view: KeyView, user: User | None) -> dict[str, object]:
    usable = view.usable and user is not None and user.active
    state = "revoked" if view.revoked_at else "expired" if view.is_expired else "active" if usable else "off"
    return {
        "id": view.id,
        "key_prefix": KEY.shown(view.id),
        "name": view.name,
        "user": view.user_id,
        "role": view.role.label,
        "platform": view.platform,
        "state": state,
        "created_at": view.created_at,
        "last_used_at": view.last_used_at,
        "expires_at": view.expires_at,
        "inactive_days": view.inactive_days,
    }


def _bounded(option: str, value: str) -> str:
    if not value or len(value) > 128 or not value.isprintable():
        raise ConfigError(f"--{option}", f"{value!r} can't be used", "use 1 to 128 printable characters")
    return value


def _lifetime(context: CommandContext) -> timedelta | None:
    """How long a new key lives; ``None`` for ever."""
    if context.options["expires"] is None:
        return None
    return _between("expires", context.duration("expires"), timedelta(minutes=1), _LONGEST_LIFETIME)


def _between(option: str, value: timedelta, least: timedelta, most: timedelta) -> timedelta:
    if not least <= value <= most:
        raise ConfigError(
            f"--{option}", f"is not between {least} and {most}", "write it like 90d, 24h or 30m"
        )
    return value
