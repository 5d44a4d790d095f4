"""Users that SCIM manages, as other plugins see them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

from ragwork_hooks.auth import Provisioned
from ragwork_hooks.storage import Transaction

from ragwork_scim.protocol.folding import fold

_FIRST: Final = """
SELECT created_at, id FROM scim.users WHERE tenant_id = ragwork.tenant() ORDER BY created_at, id LIMIT $1
"""
#: Those of the ids that SCIM manages, each with its primary address, else with any that it has.
_DESCRIBED: Final = """
SELECT u.id AS user_id, u.doc->>'userName' AS user_name, u.doc->>'displayName' AS display_name,
       (SELECT e.v->>'value' FROM jsonb_array_elements(u.doc->'emails') AS e(v)
         ORDER BY (e.v->>'primary')::boolean DESC NULLS LAST LIMIT 1) AS email,
       u.created_at, u.modified_at AS updated_at
  FROM scim.users u WHERE u.tenant_id = ragwork.tenant() AND u.id = ANY ($1::text[])
"""
#: At most two users with one of the external ids or the folded address: two show that it is not unique.
_MATCH: Final = """
SELECT u.id FROM scim.users u
 WHERE u.tenant_id = ragwork.tenant()
   AND (u.external_id = ANY ($1::text[])
        OR EXISTS (SELECT FROM jsonb_array_elements(u.folded->'emails') AS e(v) WHERE e.v->>'value' = $2))
 LIMIT 2
"""


class ScimProvisioning:
    """Implements ``ragwork_hooks.auth.Provisioning``."""

    async def first(self, tx: Transaction, limit: int) -> Sequence[tuple[datetime, str]]:
        return [(row["created_at"], row["id"]) for row in await tx.fetch(_FIRST, limit)]

    async def described(self, tx: Transaction, user_ids: Collection[str]) -> Mapping[str, Provisioned]:
        rows = await tx.fetch(_DESCRIBED, list(user_ids))
        return {row["user_id"]: Provisioned(**row) for row in rows}

    async def match(self, tx: Transaction, external_ids: Collection[str], email: str | None) -> str | None:
        rows = await tx.fetch(_MATCH, list(external_ids), None if email is None else fold(email))
        return rows[0]["id"] if len(rows) == 1 else None
