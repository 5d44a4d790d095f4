"""Who is calling: credentials, principals, the authenticator seam and the directory capability."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Protocol, TypeVar, overload

import attrs

from ragwork_hooks.errors import Problem
from ragwork_hooks.storage import Transaction

T = TypeVar("T")


class Role(IntEnum):
    """Tenant roles; a role includes every lower one."""

    READER = 1
    EDITOR = 2
    ADMIN = 3

    @classmethod
    def parse(cls, name: str) -> "Role":
        """The role called ``name`` (lower case). Raises ``ValueError`` for any other text."""
        for role in cls:
            if role.label == name:
                return role
        raise ValueError(f"{name!r} is not a role; choose reader, editor or admin")

    @property
    def label(self) -> str:
        return self.name.lower()


@attrs.frozen(kw_only=True)
class Credential:
    """What a request carries, before anybody believed it.

    ``bearer`` is the token without its scheme, ``None`` when absent; ``peer`` the address of the TCP
    peer, never a forwarded header; ``headers`` the request's headers with lower-case names.
    """

    bearer: str | None
    peer: str
    headers: "Headers"


class Headers(Protocol):
    """Read-only, case-insensitive view of request headers."""

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: T) -> str | T: ...
    @overload
    def getall(self, name: str, /) -> list[str]: ...
    @overload
    def getall(self, name: str, /, default: T) -> list[str] | T: ...


@attrs.frozen(kw_only=True)
class Principal:
    """An authenticated caller, bound to exactly one tenant."""

    #: Whose rows it may see, whatever else it may.
    tenant_id: str
    #: The person or service behind the credential.
    user_id: str
    #: The key or session.
    credential_id: str
    #: The actor type of the audit taxonomy: ``api_key``, ``sso_session``, ``system`` …
    kind: str
    #: What it may do at most.
    role: Role
    #: Whose grants it shares.
    groups: frozenset[str] = frozenset()
    #: A flag beside the role: it widens what routes are open, never which tenant's rows are seen.
    platform: bool = False
    #: Limits the credential to actions of these names (``document.read``, ``scim.*``); ``None`` does not.
    scopes: frozenset[str] | None = None
    #: Whom an agent acts for: only what both may do is allowed.
    on_behalf_of: "Principal | None" = None
    #: Ids of everything else whose end ends this credential: what it was derived from, the key that signed it.
    stands_on: frozenset[str] = frozenset()
    #: Its own end; ``None`` when it has none.
    expires_at: datetime | None = None
    #: Whom the audit log names, where that is not the credential.
    actor_id: str | None = None

    @property
    def chain(self) -> "Iterator[Principal]":
        """The caller, whom it acts for, whom that one acts for, and so on."""
        who: Principal | None = self
        while who is not None:
            yield who
            who = who.on_behalf_of


def may_make_credential(
    by: Principal, *, role: Role = Role.READER, platform: bool = False
) -> datetime | None:
    """When a credential ends, at the latest, that ``by`` makes with these rights; ``None`` for never.

    No credential makes a stronger one. Who is bound by scopes, or acts for somebody, makes none; others make none with
    more rights than their own, and none that lives longer than the key they use. A session is no such bound: the
    person makes it. Raises ``Problem`` 403.
    """
    bound = [who for who in by.chain if who.scopes is not None]
    if bound or by.on_behalf_of is not None:
        raise Problem(
            "AUTH_FORBIDDEN",
            "credentials, and what widens them, are made by people and unrestricted keys: not by one that is limited "
            "to scopes or acts for somebody",
        )
    if role > by.role:
        raise Problem(
            "AUTH_FORBIDDEN", f"a credential can't be {role.label} when its maker is {by.role.label}"
        )
    if platform and not by.platform:
        raise Problem("AUTH_FORBIDDEN", "a credential with platform scope needs a maker with platform scope")
    return None if by.kind == "sso_session" else by.expires_at


class Authenticator(Protocol):
    """Gate of the first step. Asked in the operator's order until one answers."""

    name: str

    async def authenticate(self, credential: Credential) -> Principal | None:
        """The principal; ``None`` when the credential is not of this kind (abstain).

        Raises ``Problem`` 401 with its precise code when it is of this kind and not valid, and 503
        ``AUTH_UNAVAILABLE`` when that can't be decided. Anything else that is raised denies.
        """


@attrs.frozen(kw_only=True)
class User:
    """A directory entry. ``epoch`` grows whenever every credential of the user must be rejudged."""

    tenant_id: str
    id: str
    email: str | None
    role: Role
    active: bool
    groups: frozenset[str]
    epoch: int
    created_at: datetime


class Directory(Protocol):
    """Capability: tenants, users, groups and memberships. All calls act inside the caller's transaction.

    It is the one place where a role can rise, and it knows dual control: with it on, what would raise a role
    waits as a request until two admins want it, and the user comes back with the role that holds meanwhile.
    ``by`` is the user id of who wants the change, or the name of the machine that does (``operator:…``); only an
    active admin counts as one of the two. A change that needs no second admin drops a request that waits.
    """

    @property
    def dual_control(self) -> bool:
        """Whether a rise takes two admins."""

    async def ensure_tenant(self, tx: Transaction) -> None:
        """Create the transaction's tenant when new."""

    async def require_tenant(self, tx: Transaction) -> None:
        """Raise ``Problem`` 404, with the nearest name, unless the transaction's tenant exists."""

    async def tenants(self) -> Sequence[str]:
        """Ids of all tenants, sorted: for system tasks that visit each in its own transaction."""

    async def ensure_user(
        self, tx: Transaction, user_id: str, role: Role, *, by: str, founding: bool = False
    ) -> User:
        """The user, created with ``role`` when new; an existing user's role is left alone.

        Under dual control a new user is a reader, and a higher ``role`` waits. ``founding`` is the operator's
        word: it holds at once while the tenant has fewer than two active admins, who could agree on nobody.
        """

    async def user(self, tx: Transaction, user_id: str) -> User | None:
        """The user or ``None``."""

    async def users(self, tx: Transaction, user_ids: Collection[str]) -> Mapping[str, User]:
        """Those of ``user_ids`` that exist, by id. One round trip."""

    async def current(self, tenant_id: str, user_id: str) -> User | None:
        """The user from a cache that any change reaches within 1 s: no round trip when warm."""

    async def set_active(self, tx: Transaction, user_id: str, active: bool, *, by: str) -> User:
        """Enable or disable; disabling advances the epoch and ends every credential within 1 s. Under dual
        control who comes back is a reader until two admins want the role that was theirs.
        """

    async def set_role(
        self, tx: Transaction, user_id: str, role: Role, *, by: str, founding: bool = False
    ) -> User:
        """Change the role and advance the epoch; under dual control a rise waits. ``founding``: ``ensure_user``."""

    async def agreed(
        self, tx: Transaction, subject: tuple[str, str], role: Role, state: str, *, by: str
    ) -> bool:
        """Whether two admins want that ``subject`` (kind and id of what gives roles) gives ``role`` as ``state``
        has it: always without dual control, else once a second one asks for the same as a first.

        ``Problem`` 403 when ``by`` is no active admin of the tenant: a machine agrees to nothing.
        """

    async def ensure_group(self, tx: Transaction, group_id: str, name: str) -> None:
        """Create or rename a group."""

    async def set_groups(self, tx: Transaction, user_id: str, groups: frozenset[str]) -> User:
        """Replace the user's memberships and advance the epoch. Unknown groups raise ``Problem`` 404."""


class Roster(Protocol):
    """Contributed by a plugin that keeps principals which grants may name: says who there is."""

    name: str
    #: Principal types of grants: ``user``, ``group``, ``api_key``. Several rosters may share one.
    kinds: frozenset[str]

    async def known(self, tx: Transaction, kind: str, ids: Collection[str]) -> frozenset[str]:
        """Those of ``ids`` that exist in the transaction's tenant. One round trip."""

    async def active(self, tx: Transaction, kind: str, ids: Collection[str]) -> frozenset[str]:
        """Those of ``ids`` that are not disabled, suspended or over now. One round trip."""

    async def nearest(self, tx: Transaction, kind: str, wanted: str) -> str | None:
        """The id that somebody who wrote ``wanted`` most likely meant, if any is near. One round trip."""


@attrs.frozen(kw_only=True)
class Provisioned:
    """A user as the tenant's identity provider wrote them."""

    user_id: str
    user_name: str
    display_name: str | None
    email: str | None
    created_at: datetime
    updated_at: datetime


class Provisioning(Protocol):
    """Capability: the users whom the tenant's identity provider manages."""

    async def first(self, tx: Transaction, limit: int) -> Sequence[tuple[datetime, str]]:
        """When they were made, and their ids, oldest first."""

    async def described(self, tx: Transaction, user_ids: Collection[str]) -> Mapping[str, Provisioned]:
        """Those of ``user_ids`` who are managed. One round trip."""

    async def match(self, tx: Transaction, external_ids: Collection[str], email: str | None) -> str | None:
        """The one user who has one of the external ids or the address; ``None`` when none or several have."""


@attrs.frozen(kw_only=True)
class ApiKey:
    """A key without its secret. ``prefix`` is its first twelve characters."""

    id: str
    prefix: str
    user_id: str
    name: str | None
    role: Role
    platform: bool
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    active: bool
    expired: bool
    inactive_days: int


class ApiKeys(Protocol):
    """Capability: the life of API keys. All calls act inside the caller's transaction."""

    async def create(
        self, tx: Transaction, by: Principal, *, name: str | None, role: Role, expires_in_days: int | None
    ) -> tuple[ApiKey, str]:
        """A new key and its text, which is shown once. Never with more rights than ``by`` has: ``Problem``
        403; ``Problem`` 409 KEY_LIMIT_REACHED at the tenant's cap of active keys.
        """

    async def list(self, tx: Transaction) -> Sequence[ApiKey]:
        """All keys of the transaction's tenant, newest first."""

    async def revoke(self, tx: Transaction, by: Principal, key_id: str) -> tuple[ApiKey, bool]:
        """The revoked key and whether this call did it. Effective everywhere, open streams included, within
        1 s. ``Problem`` 404 for an unknown id.
        """
