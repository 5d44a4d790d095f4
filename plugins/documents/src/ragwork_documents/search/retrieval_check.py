"""``ragwork smoke``: one query to a corpus' own retriever, to see that the binding works."""

import time
from collections.abc import Mapping, Sequence
from typing import Final

import attrs
from ragwork_hooks.auth import Directory, Principal, Role
from ragwork_hooks.authz import AllOf, ReadableBy, ReadScope
from ragwork_hooks.commands import Command, CommandContext, Option
from ragwork_hooks.documents import Corpus, DocumentCatalog
from ragwork_hooks.errors import Problem, ProviderError, not_found
from ragwork_hooks.fields import is_visible
from ragwork_hooks.provider_kinds import RETRIEVAL
from ragwork_hooks.retrieval import Passage, Query
from ragwork_hooks.services import Services

from ragwork_documents.corpora.corpus_config import MAX_TOP_K
from ragwork_documents.ingestion.input_checks import printable
from ragwork_documents.permissions import acl
from ragwork_documents.permissions.permission_recheck import counting_blocked

#: Who asks when ``--user`` names nobody.
ANYBODY: Final = "smoke"

# What to do, by the ending of the error's code; contract codes and those of third parties end alike.
_FIXES: Final[Mapping[str, str]] = {
    "_CONFIG_MISSING": "set what is missing in the corpus' provider_config_json or the provider's environment",
    "_CONFIG_INVALID": "correct the corpus' provider_config_json (PATCH /v1/corpora/{id}); see `ragwork plugins`",
    "_AUTH_ERROR": "check the provider's credentials, their expiry, and that they may read this index",
    "_TIMEOUT": "try again; else raise TIMEOUT_<PROVIDER>_SECONDS or look at the provider's health",
    "_UNAVAILABLE": "check the network to the provider and its health, then try again",
    "_BUSY": "wait and try again, or raise the provider's quota",
    "_DIMENSION_MISMATCH": "bind the corpus to the embedder that its index was made with, or reindex it",
    "NOT_FOUND": "check --tenant, --corpus and --user",
}
_OTHER_FIX: Final = "check the name of the index in provider_config_json and what the credentials may do"


@attrs.frozen(kw_only=True)
class CheckResult:
    """A query that was answered. ``blocked`` passages were found but lie outside the caller's rights."""

    passages: Sequence[Passage]
    blocked: int
    rechecked: bool
    ms: float


async def smoke(context: CommandContext) -> int:
    """Ask and report; 1 when the provider can't answer."""
    top_k = context.integer("top-k") if context.options["top-k"] is not None else None
    provider = None
    try:
        corpus = await _corpus(context)
        provider = corpus.retriever
        outcome = await _ask(context, corpus, top_k)
    except (Problem, ProviderError) as error:
        return _report_failure(context, provider, error)
    _report(context, corpus, outcome)
    return 0


async def _corpus(context: CommandContext) -> Corpus:
    corpus_id = context.text("corpus")
    catalog = context.services.use(DocumentCatalog)
    corpus = await catalog.corpus(context.text("tenant"), corpus_id)
    if corpus is None:
        raise not_found("corpus", corpus_id)
    return corpus


async def _ask(context: CommandContext, corpus: Corpus, top_k: int | None) -> CheckResult:
    services = context.services
    if not is_visible(context.text("query")):
        raise Problem("REQUEST_VALIDATION_ERROR", "the query is blank: it has no visible character")
    scope = await _scope(services, corpus.tenant_id, context.options["user"])
    query = Query(
        corpus_id=corpus.id,
        text=context.text("query"),
        top_k=top_k or corpus.top_k_default,
        embedder=corpus.embedder,
        options=corpus.options,
        # No fallback: another provider's answer would hide this one's failure.
        scope=scope,
    )
    retriever = await services.providers.open(RETRIEVAL, corpus.retriever)
    started = time.perf_counter()
    prepared = await retriever.prepare(corpus.tenant_id, query)
    with counting_blocked() as blocked:
        async with services.db.tenant(corpus.tenant_id, "read") as tx:
            passages = await prepared.passages(tx, scope)
    return CheckResult(
        passages=passages,
        blocked=blocked.number,
        rechecked=not retriever.transactional,
        ms=round((time.perf_counter() - started) * 1000, 1),
    )


async def _scope(services: Services, tenant_id: str, user_id: object) -> ReadScope:
    """What the user may read today; without a user what a grant to the whole tenant opens, and no more."""
    if not isinstance(user_id, str):
        anybody = _principal(tenant_id, ANYBODY, Role.READER, frozenset())
        tenant = ReadableBy(frozenset({f"tenant:{tenant_id}"}))
        return AllOf((await services.read_scope(anybody, acl.READ), tenant))
    role, groups = Role.READER, frozenset[str]()
    directory = services.use_optional(Directory)
    if directory is not None:
        async with services.db.tenant(tenant_id, "read") as tx:
            user = await directory.user(tx, user_id)
        if user is None or not user.active:
            raise not_found("user", user_id)
        role, groups = user.role, user.groups
    return await services.read_scope(_principal(tenant_id, user_id, role, groups), acl.READ)


def _principal(tenant_id: str, user_id: str, role: Role, groups: frozenset[str]) -> Principal:
    return Principal(
        tenant_id=tenant_id, user_id=user_id, credential_id="cli", kind="system", role=role, groups=groups
    )


def fix_for(code: str) -> str:
    """What an operator can do about a provider's ``code``."""
    return next((fix for ending, fix in _FIXES.items() if code.endswith(ending)), _OTHER_FIX)


def _report_failure(context: CommandContext, provider: str | None, error: Problem | ProviderError) -> int:
    fix = fix_for(error.code)
    data = {
        "provider": provider,
        "error": {"code": error.code, "message": error.message, "fix": fix},
    }
    asked = f"provider {provider}\n" if provider else ""
    context.console.result(data, f"{asked}{error.code}: {printable(error.message)}\nfix: {fix}")
    return 1


def _report(context: CommandContext, corpus: Corpus, outcome: CheckResult) -> None:
    found = [
        {"score": passage.score, "source": passage.source, "document_id": passage.document_id}
        for passage in outcome.passages
    ]
    data = {
        "provider": corpus.retriever,
        "latency_ms": outcome.ms,
        "passages": len(found),
        "rechecked": outcome.rechecked,
        "dropped": outcome.blocked,
        "best": found,
    }
    judged = (
        f"{outcome.blocked} dropped by the re-check of rights"
        if outcome.rechecked
        else "the index itself reads within the rights"
    )
    lines = [
        f"provider {corpus.retriever}: {len(found)} passages in {outcome.ms} ms; {judged}",
        *(f"{p.score:6.3f}  {printable(p.source)}  ({printable(p.document_id)})" for p in outcome.passages),
    ]
    context.console.result(data, "\n".join(lines))


COMMAND: Final = Command(
    path=("smoke",),
    help="Ask a corpus' retrieval provider one query, without an answer by a model",
    options=(
        Option(name="tenant", help="tenant id", required=True, type="tenant"),
        Option(name="corpus", help="corpus id", required=True),
        Option(name="query", help="what to look for", required=True),
        Option(
            name="top-k",
            help="number of passages; the corpus' own number when not given",
            type="integer",
            minimum=1,
            maximum=MAX_TOP_K,
        ),
        Option(name="user", help="whose rights to ask with; what the whole tenant may read when not given"),
    ),
    run=smoke,
    audit_event=None,
)
