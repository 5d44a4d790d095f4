"""``ragwork ingest`` and ``ragwork seed``, and the list of all commands."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

import attrs
from ragwork_hooks.commands import Command, CommandContext, Option
from ragwork_hooks.errors import Problem
from ragwork_hooks.parsing import DocumentParsing

from ragwork_documents.ingestion import file_finder, jsonl
from ragwork_documents.ingestion.bulk import BulkIngest, BulkSummary
from ragwork_documents.ingestion.file_batches import ORIGIN, FileBatches
from ragwork_documents.ingestion.file_finder import BadPath, FoundFile
from ragwork_documents.ingestion.submission import Batch, Submission
from ragwork_documents.ingestion.submission_requests import from_text
from ragwork_documents.permissions.acl import DocumentAcl
from ragwork_documents.schemas import TextIngestRequest
from ragwork_documents.search import retrieval_check

SEED_CORPUS: Final = "c1"
SEED_CHUNK_SIZE: Final = 400
_MAX_REASONS: Final = 50


class _Misused(Exception):
    """The options don't fit together. The text says what to write instead."""


@attrs.frozen(kw_only=True)
class _Documents:
    """What ``ragwork ingest`` was given: batches of it, how many documents they are, and the files behind them."""

    batches: AsyncIterator[Batch]
    total: int
    files: Sequence[FoundFile] = ()


async def ingest(context: CommandContext) -> int:
    """Ingest files, or JSON Lines; 0 once all is indexed."""
    corpus_id = context.text("corpus")
    try:
        documents = await _documents(context)
    except (_Misused, BadPath, jsonl.BadLine, OSError) as error:
        context.console.result({"error": str(error)}, f"error: {error}")
        return 1
    bulk = _bulk(context, corpus_id, everybody=context.text("readers") == "tenant")
    if not await _prepared(context, bulk, corpus_id):
        return 1
    started = time.monotonic()
    async with context.working(), context.console.progress(documents.total, "ingest", "doc") as advance:
        summary = await bulk.run(documents.batches, advance)
    removed = None
    if context.options["mirror"]:
        kept = {file.document_id for file in documents.files}
        removed = await bulk.prune(ORIGIN, _prefix(context), kept)
    return _report(context, summary, documents.total, time.monotonic() - started, removed)


async def seed(context: CommandContext) -> int:
    """Put the demonstration corpus into a tenant, once."""
    bulk = _bulk(context, SEED_CORPUS, everybody=True)
    if not await _prepared(context, bulk, SEED_CORPUS):
        return 1
    submissions = await asyncio.to_thread(seed_documents)
    async with context.working():
        summary = await bulk.run(_one_by_one([Batch(submissions=list(submissions))]), lambda _more: None)
    if summary.failures:
        return _report(context, summary, len(submissions), 0.0, None)
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


async def _documents(context: CommandContext) -> _Documents:
    """Raises ``_Misused``, ``BadPath``, ``BadLine`` and ``OSError``."""
    paths, lines = context.options["path"], context.options["jsonl"]
    if isinstance(lines, str) and not paths:
        if context.options["mirror"] or context.options["prefix"]:
            raise _Misused(
                "--mirror and --prefix are for PATH…; lines of --jsonl name their documents themselves"
            )
        return await _lines(Path(lines), context.text("corpus"))
    if not isinstance(paths, tuple) or not paths or lines is not None:
        raise _Misused("needs either PATH… (files, folders, patterns, ZIP archives) or --jsonl")
    parsing = context.services.use_optional(DocumentParsing)
    if parsing is None:
        raise _Misused("files need a parser: enable the plugin parsing (and pdf, office, html, data, mail)")
    files = await asyncio.to_thread(file_finder.find, [Path(path) for path in paths], _prefix(context))
    batches = FileBatches(parsing, context.text("tenant"), context.config.max_bytes).batches(files)
    return _Documents(batches=batches, total=len(files), files=files)


async def _lines(source: Path, corpus_id: str) -> _Documents:
    paths = await asyncio.to_thread(jsonl.files, source)
    total = await asyncio.to_thread(jsonl.count, paths, corpus_id)
    return _Documents(batches=_one_by_one(jsonl.batches(paths, corpus_id)), total=total)


async def _one_by_one(batches: Iterable[Batch]) -> AsyncIterator[Batch]:
    """Reading and checking lines is work for a thread: the loop is indexing meanwhile."""
    source = iter(batches)
    while (batch := await asyncio.to_thread(next, source, None)) is not None:
        yield batch


def _prefix(context: CommandContext) -> str:
    prefix = context.options["prefix"]
    return prefix if isinstance(prefix, str) else ""


def _bulk(context: CommandContext, corpus_id: str, *, everybody: bool) -> BulkIngest:
    tenant_id = context.text("tenant")
    return BulkIngest(
        context.services,
        tenant_id,
        corpus_id,
        [f"tenant:{tenant_id}"] if everybody else [],
        DocumentAcl(admin_bypass=context.config.admin_bypass_acl),
        context.record,
    )


async def _prepared(context: CommandContext, bulk: BulkIngest, corpus_id: str) -> bool:
    try:
        created = await bulk.prepare(context.config.embedding_provider)
    except (Problem, ValueError) as error:
        context.console.result({"error": str(error)}, f"error: {error}")
        return False
    if created:
        context.console.say(f"created corpus {corpus_id}")
    return True


def _report(
    context: CommandContext, summary: BulkSummary, total: int, seconds: float, removed: int | None
) -> int:
    for heading, reasons in (("skipped", summary.skipped), ("failed", summary.failures)):
        for reason in reasons[:_MAX_REASONS]:
            context.console.say(f"{heading} {reason}")
        if len(reasons) > _MAX_REASONS:
            context.console.say(f"and {len(reasons) - _MAX_REASONS} more {heading}")
    # What only files can be is told where there is some.
    extras = {"attached": summary.attached, "skipped": len(summary.skipped)}
    counts = {
        "indexed": summary.indexed,
        "unchanged": summary.unchanged,
        **{name: count for name, count in extras.items() if count},
        "failed": len(summary.failures),
        **({} if removed is None else {"removed": removed}),
    }
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    rate = f", {summary.indexed / seconds:.0f} docs/s" if seconds and summary.indexed else ""
    data = {"documents": total, **counts, "seconds": round(seconds, 3)}
    context.console.result(data, f"{total} documents: {said}{rate}")
    return 1 if summary.failures else 0


_TENANT: Final = Option(name="tenant", help="tenant id; created when new", required=True, type="tenant")

COMMANDS: Final = (
    Command(
        path=("ingest",),
        help="Ingest files of any type that is parsed, or JSON Lines, and wait until they are indexed",
        options=(
            Option(
                name="path",
                help="files, folders, patterns such as 'docs/**/*.pdf', ZIP archives",
                type="path",
                positional=True,
                repeated=True,
            ),
            _TENANT,
            Option(name="corpus", help="corpus id; created when new", required=True),
            Option(name="jsonl", help="instead of paths: a file, or a folder of .jsonl files", type="path"),
            Option(name="prefix", help="begins the id of each document, which is the file's path"),
            Option(
                name="mirror",
                help="delete the corpus' documents (with this prefix) whose files are gone",
                flag=True,
            ),
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
