"""Users that SCIM manages, in Postgres. Writers hold the tenant's turn."""

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import attrs
from ragwork_hooks.errors import not_found
from ragwork_hooks.storage import Transaction
from ragwork_toolkit.rows import from_row
from scim2_models import Context

from ragwork_scim.protocol.error_format import payload_invalid, taken
from ragwork_scim.protocol.filters import Condition, ResourceRange
from ragwork_scim.protocol.folding import fold
from ragwork_scim.protocol.models import Person
from ragwork_scim.protocol.urls import GROUPS, USERS, meta

MAX_BYTES: Final = 65_536
_DERIVED: Final = ("id", "meta", "groups")

_COLUMNS: Final = "u.id, u.active, u.doc, u.version, u.created_at, u.modified_at"
_GROUPS: Final = """
ARRAY(SELECT json_build_object('value', g.id, 'display', g.display_name)
        FROM scim.members m JOIN scim.groups g ON g.tenant_id = m.tenant_id AND g.id = m.group_id
       WHERE m.tenant_id = u.tenant_id AND m.user_id = u.id ORDER BY g.created_at, g.id) AS groups
"""
_GET: Final = f"""
SELECT {_COLUMNS}, {_GROUPS} FROM scim.users u WHERE u.tenant_id = ragwork.tenant() AND u.id = $1
"""  # noqa: S608  # made of constants
# Nobody's: neither the name nor the client's id of another user. Exact, since writers take turns.
_CLASH: Final = """
SELECT u.user_key = $2 AS by_name FROM scim.users u
 WHERE u.tenant_id = ragwork.tenant() AND u.id <> $1 AND (u.user_key = $2 OR u.external_id = $3) LIMIT 1
"""
_INSERT: Final = """
INSERT INTO scim.users (tenant_id, id, user_key, external_id, active, doc, folded)
VALUES (ragwork.tenant(), $1, $2, $3, $4, $5, $6)
RETURNING id, active, doc, version, created_at, modified_at, '{}'::json[] AS groups
"""
#: Writes a user as the next version. Parameters: id, folded name, client's id, active, document, folded document.
_UPDATE: Final = """
UPDATE scim.users
   SET user_key = $2, external_id = $3, active = $4, doc = $5, folded = $6,
       version = version + 1, modified_at = now()
 WHERE tenant_id = ragwork.tenant() AND id = $1
RETURNING version, modified_at
"""
_TOUCH_GROUPS: Final = """
UPDATE scim.groups SET version = version + 1, modified_at = now()
 WHERE tenant_id = ragwork.tenant()
   AND id IN (SELECT group_id FROM scim.members WHERE tenant_id = ragwork.tenant() AND user_id = $1)
"""


@attrs.frozen(kw_only=True)
class StoredUser:
    """One row and the groups it is in, as ``{value, display}``."""

    id: str
    active: bool
    doc: Mapping[str, Any]
    version: int
    created_at: datetime
    modified_at: datetime
    groups: Sequence[Mapping[str, str]]

    def resource(self) -> dict[str, object]:
        """The SCIM resource."""
        body: dict[str, object] = {"schemas": self.doc["schemas"], "id": self.id, **self.doc}
        if self.groups:
            body["groups"] = [
                {**group, "$ref": GROUPS + group["value"], "type": "direct"} for group in self.groups
            ]
        times = (self.created_at, self.modified_at)
        return {**body, "meta": meta("User", USERS, self.id, self.version, times)}

    def person(self) -> Person:
        """The checked model of it."""
        return Person.model_validate({**self.doc, "id": self.id}, scim_ctx=Context.DEFAULT)


async def get(tx: Transaction, user_id: str) -> StoredUser:
    """Raises ``Problem`` 404."""
    row = await tx.fetchrow(_GET, user_id)
    if row is None:
        raise not_found("user", user_id)
    return from_row(StoredUser, row)


async def insert(tx: Transaction, person: Person) -> StoredUser:
    """A new user under an id of ours. Raises ``Problem`` 409."""
    user_id = str(uuid.uuid4())
    await _refuse_clash(tx, user_id, person)
    row = await tx.fetchrow(_INSERT, user_id, *_values(person))
    assert row is not None  # INSERT … RETURNING gives its row
    return from_row(StoredUser, row)


async def update(tx: Transaction, stored: StoredUser, person: Person) -> StoredUser:
    """``stored`` with what ``person`` says; itself when that is the same. Raises ``Problem`` 409."""
    values = _values(person)
    if values[3] == stored.doc:
        return stored
    if values[:2] != (fold(stored.doc["userName"]), stored.doc.get("externalId")):
        await _refuse_clash(tx, stored.id, person)
    row = await tx.fetchrow(_UPDATE, stored.id, *values)
    assert row is not None  # read in the same turn
    return attrs.evolve(stored, active=bool(person.active), doc=values[3], **row)


async def delete(tx: Transaction, user_id: str) -> None:
    """The user and their memberships; the groups get a new version."""
    await tx.execute(_TOUCH_GROUPS, user_id)
    await tx.execute("DELETE FROM scim.users WHERE tenant_id = ragwork.tenant() AND id = $1", user_id)


async def count(tx: Transaction, where: Condition) -> int:
    sql = f"SELECT count(*) FROM scim.users u WHERE u.tenant_id = ragwork.tenant() AND {where.sql}"  # noqa: S608  # compiled, values are parameters
    total: int = await tx.fetchval(sql, *where.parameters)
    return total


async def page(tx: Transaction, wanted: ResourceRange) -> Sequence[StoredUser]:
    sql = (
        f"SELECT {_COLUMNS}, {_GROUPS} FROM scim.users u"  # noqa: S608  # compiled, values are parameters
        f" WHERE u.tenant_id = ragwork.tenant() AND {wanted.sql}"
    )
    return [from_row(StoredUser, row) for row in await tx.fetch(sql, *wanted.where.parameters)]


def folded(value: Any) -> Any:
    """A document in the form in which texts that ignore case are compared: NFC and lower case."""
    if isinstance(value, str):
        return fold(value)
    if isinstance(value, dict):
        return {key: folded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [folded(item) for item in value]
    return value


def _values(person: Person) -> tuple[str, str | None, bool, dict[str, Any], Any]:
    """Name as compared, client's id, active, document and folded document."""
    doc = person.model_dump(scim_ctx=Context.DEFAULT)
    for derived in _DERIVED:
        doc.pop(derived, None)
    if len(json.dumps(doc, ensure_ascii=False).encode()) > MAX_BYTES:
        raise payload_invalid("invalidValue", f"a user takes {MAX_BYTES} bytes at most")
    return fold(str(person.user_name)), person.external_id, bool(person.active), doc, folded(doc)


async def _refuse_clash(tx: Transaction, user_id: str, person: Person) -> None:
    row = await tx.fetchrow(_CLASH, user_id, fold(str(person.user_name)), person.external_id)
    if row is not None:
        what = "userName" if row["by_name"] else "externalId"
        raise taken(f"another user has this {what}")
