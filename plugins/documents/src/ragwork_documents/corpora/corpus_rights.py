"""What is done to a corpus by right of owning it: judged, done and recorded."""

from collections.abc import Mapping, Sequence

import attrs
from ragwork_hooks.audit import AuditLog
from ragwork_hooks.auth import Directory, Principal
from ragwork_hooks.authz import Action, Deny, Resource, problem_of
from ragwork_hooks.retrieval import Index
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Row, Transaction

from ragwork_documents.corpora import ownership
from ragwork_documents.corpora.corpus_config import CorpusBinding
from ragwork_documents.permissions.principals import NamedPrincipal, Principals
from ragwork_documents.permissions.readers import Readers, record


@attrs.frozen(kw_only=True)
class CorpusRights:
    """Effects on locked corpora (rows with ``id``, ``owner``, ``provider_config``)."""

    services: Services
    readers: Readers
    principals: Principals
    log: AuditLog | None

    @classmethod
    def of(cls, services: Services, index: Index) -> "CorpusRights":
        """With the directory and the audit log that there are."""
        principals = Principals(services, services.use_optional(Directory))
        log = services.use_optional(AuditLog)
        return cls(services=services, readers=Readers(index, principals, log), principals=principals, log=log)

    async def require(self, tx: Transaction, principal: Principal, action: Action, corpus: Row) -> None:
        """Hold the corpus against the whole authorization plan. Raises ``Problem`` 403."""
        resource = Resource(
            kind=ownership.CORPUS, id=corpus["id"], tenant_id=tx.tenant_id, owner=corpus["owner"]
        )
        decision = await self.services.authorize(principal, action, resource, tx)
        if isinstance(decision.verdict, Deny):
            raise problem_of(decision.verdict)

    async def set_readers(
        self, tx: Transaction, principal: Principal, corpus: Row, binding: CorpusBinding
    ) -> None:
        """Who reads later documents. Raises ``Problem`` 422, 403 for readers that only an admin may create."""
        if binding.create_readers:
            await self.require(tx, principal, ownership.ADMINISTER, corpus)
        await self.readers.set_default(
            tx, principal, corpus["id"], binding.default_readers, create=binding.create_readers
        )

    async def hand_over(self, tx: Transaction, principal: Principal, corpus: Row, owner: str) -> None:
        """Give the corpus another owner. Raises ``Problem`` 403, 422 for a user who does not exist."""
        if owner == corpus["owner"]:
            return
        await self.require(tx, principal, ownership.ADMINISTER, corpus)
        await self.principals.require(tx, [NamedPrincipal(kind="user", id=owner, path=("body", "owner"))])
        await tx.execute(
            "UPDATE documents.corpora SET owner = $2 WHERE tenant_id = ragwork.tenant() AND id = $1",
            corpus["id"],
            owner,
        )
        change = {"from": corpus["owner"], "to": owner}
        await record(self.log, tx, principal, "corpora.owner.updated", corpus["id"], change)

    async def record_binding(
        self, tx: Transaction, principal: Principal, corpus: Row, binding: CorpusBinding
    ) -> None:
        """Name what of the provider's configuration changed, never its values: they may be credentials."""
        stored = corpus["provider_config"]
        changed = [
            *_changed(stored, binding.json, "retrieval"),
            *(f"generation.{key}" for key in _changed(stored, binding.json, "generation")),
        ]
        if changed:
            await record(
                self.log, tx, principal, "corpora.provider.updated", corpus["id"], {"changed": changed}
            )


def _changed(old: Mapping[str, object], new: Mapping[str, object], section: str) -> Sequence[str]:
    """The keys of ``section`` that are not the same in both."""
    before, after = _section(old, section), _section(new, section)
    return sorted(key for key in {*before, *after} if before.get(key) != after.get(key))


def _section(config: Mapping[str, object], name: str) -> Mapping[str, object]:
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}
