"""``ragwork ingest`` and ``ragwork seed``, and the list of all commands."""

import asyncio
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from ragwork_hooks.commands import Command, CommandContext, Option
from ragwork_hooks.errors import Problem

from ragwork_documents.ingestion import jsonl
from ragwork_documents.ingestion.bulk import BulkIngest, BulkSummary
from ragwork_documents.ingestion.document_service import Submission
from ragwork_documents.ingestion.submissions import from_text
from ragwork_documents.permissions.acl import DocumentAcl
from ragwork_documents.schemas import TextIngestRequest
from ragwork_documents.search import retrieval_check

SEED_CORPUS: Final = "c1"
SEED_CHUNK_SIZE: Final = 400
_MAX_REASONS: Final = 50


async def ingest(context: CommandContext) -> int:
    """Ingest JSON Lines; 0 once all is indexed."""
    tenant_id, corpus_id = context.text("tenant"), context.text("corpus")
    try:
        paths = await asyncio.to_thread(jsonl.files, Path(context.text("jsonl")))
        total = await asyncio.to_thread(jsonl.count, paths, corpus_id)
    except (jsonl.BadLine, OSError) as error:
        context.console.result({"error": str(error)}, f"error: {error}")
        return 1
    readers = [f"tenant:{tenant_id}"] if context.text("readers") == "tenant" else []
    bulk = BulkIngest(
        context.services,
        tenant_id,
        corpus_id,
        readers,
        DocumentAcl(admin_bypass=context.config.admin_bypass_acl),
        context.record,
    )
    if not await _prepared(context, bulk, corpus_id):
        return 1
    started = time.monotonic()
    async with context.working(), context.console.progress(total, "ingest", "doc") as advance:
        summary = await bulk.run(jsonl.batches(paths, corpus_id), advance)
    return _report(context, summary, total, time.monotonic() - started)


async def seed(context: CommandContext) -> int:
    """Put the demonstration corpus into a tenant, once."""
    tenant_id = context.text("tenant")
    bulk = BulkIngest(
        context.services,
        tenant_id,
        SEED_CORPUS,
        [f"tenant:{tenant_id}"],
        DocumentAcl(admin_bypass=context.config.admin_bypass_acl),
        context.record,
    )
    if not await _prepared(context, bulk, SEED_CORPUS):
        return 1
    submissions = await asyncio.to_thread(seed_documents)
    async with context.working():
        summary = await bulk.run([jsonl.Batch(submissions=submissions)], lambda _more: None)
    if summary.failures:
        return _report(context, summary, len(submissions), 0.0)
    data = {"corpus_id": SEED_CORPUS, "documents": len(submissions), "seeded": summary.indexed > 0}
    text = (
        f"seeded corpus {SEED_CORPUS}: {len(submissions)} documents" if summary.indexed else "already seeded"
    )
    context.console.result(data, text)
    return 0


def seed_documents() -> Sequence[Submission]:
    """The demonstration documents: 3 of them, 10 chunks in all."""
    folder = resources.files("ragwork_documents") / "seed"
    return [
        from_text(
            TextIngestRequest(
                corpus_id=SEED_CORPUS,
                text=entry.read_text("utf-8"),
                document_id=f"seed-{entry.name.removesuffix('.md')}",
                filename=entry.name,
                chunk_size_chars=SEED_CHUNK_SIZE,
                chunk_overlap_chars=0,
            )
        )
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".md")
    ]


async def _prepared(context: CommandContext, bulk: BulkIngest, corpus_id: str) -> bool:
    try:
        created = await bulk.prepare(context.config.embedding_provider)
    except (Problem, ValueError) as error:
        context.console.result({"error": str(error)}, f"error: {error}")
        return False
    if created:
        context.console.say(f"created corpus {corpus_id}")
    return True


def _report(context: CommandContext, summary: BulkSummary, total: int, seconds: float) -> int:
    for failure in summary.failures[:_MAX_REASONS]:
        context.console.say(failure)
    if len(summary.failures) > _MAX_REASONS:
        context.console.say(f"and {len(summary.failures) - _MAX_REASONS} more")
    data = {
        "documents": total,
        "indexed": summary.indexed,
        "unchanged": summary.unchanged,
        "failed": len(summary.failures),
        "seconds": round(seconds, 3),
    }
    rate = f", {summary.indexed / seconds:.0f} docs/s" if seconds and summary.indexed else ""
    context.console.result(
        data,
        f"{total} documents: {summary.indexed} indexed, {summary.unchanged} unchanged, "
        f"{len(summary.failures)} failed{rate}",
    )
    return 1 if summary.failures else 0


_TENANT: Final = Option(name="tenant", help="tenant id; created when new", required=True, type="tenant")

COMMANDS: Final = (
    Command(
        path=("ingest",),
        help="Ingest JSON Lines of documents and wait until they are indexed",
        options=(
            _TENANT,
            Option(name="corpus", help="corpus id; created when new", required=True),
            Option(name="jsonl", help="a file, or a folder of .jsonl files", required=True, type="path"),
            Option(
                name="readers",
                help="who may read the documents",
                default="tenant",
                choices=("tenant", "owner"),
            ),
        ),
        run=ingest,
        audit_event="documents.ingest.enqueued",
    ),
    Command(
        path=("seed",),
        help="Put the demonstration corpus c1 into a tenant",
        options=(_TENANT,),
        run=seed,
        audit_event="documents.ingest.enqueued",
    ),
    retrieval_check.COMMAND,
)
