"""Whose a corpus is: the actions on what decides who reads its documents and where they go, and their gate."""

from typing import Final, Literal

from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.authz import ABSTAIN, ALLOW, Action, Deny, ReadScope, Resource, Verdict
from ragwork_hooks.storage import Transaction

CORPUS: Final = "corpus"
READ: Final = Action(name="corpus.read", role=Role.READER)
#: Creating and renaming.
WRITE: Final = Action(name="corpus.write", role=Role.EDITOR)
#: Provider, embedder, shadow, credentials and readers.
CONFIGURE: Final = Action(name="corpus.configure", role=Role.EDITOR)
DELETE: Final = Action(name="corpus.delete", role=Role.EDITOR)
#: Handing a corpus over, and naming readers that have to be created first.
ADMINISTER: Final = Action(name="corpus.administer", role=Role.ADMIN)
_OWNED: Final = frozenset({CONFIGURE.name, DELETE.name})


def owner_of(principal: Principal) -> str:
    """Who owns what ``principal`` creates: the person that an agent acts for, else the principal itself."""
    return [who.user_id for who in principal.chain][-1]


class CorpusOwnership:
    """Gate over corpora: what is the owner's is done by the owner or by an administrator.

    A corpus without an owner is the administrators'. Whoever acts for somebody needs that person's right, too.
    """

    name = "documents.corpora"
    stage: Literal["role", "resource"] = "resource"

    async def decide(
        self, principal: Principal, action: Action, resource: Resource | None, tx: Transaction | None
    ) -> Verdict:
        """Judges by ``resource.owner``; abstains for what is not a corpus."""
        del tx
        if resource is None or resource.kind != CORPUS:
            return ABSTAIN
        if resource.tenant_id == principal.tenant_id:
            if principal.role >= Role.ADMIN or action.name not in (*_OWNED, ADMINISTER.name):
                return ALLOW
            if action.name in _OWNED and resource.owner in [who.user_id for who in principal.chain]:
                return ALLOW
        whose = "has no owner" if resource.owner is None else f"belongs to {resource.owner!r}"
        message = f"corpus {resource.id!r} {whose}; only its owner or an administrator may do this"
        return Deny("AUTHZ_DENIED", message, {"owner": resource.owner})

    async def narrow(self, principal: Principal, action: Action, scope: ReadScope) -> ReadScope:
        """``scope`` itself: whose a corpus is says nothing about who reads its documents."""
        del principal, action
        return scope
