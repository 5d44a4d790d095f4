"""``ragwork sources``: add, list, sync, remove."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Final

import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.commands import Command, CommandContext, Option
from ragwork_hooks.connectors import CONNECTOR
from ragwork_hooks.documents import DocumentIntake, OriginDocuments
from ragwork_hooks.errors import Problem
from ragwork_hooks.storage import Row

from ragwork_connectors import items, source_store
from ragwork_connectors.source_store import ConfiguredSource, SourceName

_POLL_S: Final = 0.3
_SHORTEST_S: Final = 60
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._\-]{0,39}")
_ENDED: Final = ("succeeded", "dead")
#: Documents that are deleted together.
_BATCH: Final = 200


class _WrongSource(Exception):
    """The options are no source. The text says what to write instead."""


async def add(context: CommandContext) -> int:
    """Configure a source; 0 once it could be listed and is stored. Its first sync is due at once."""
    try:
        source = _source(context)
        await context.services.providers.check(CONNECTOR, source.connector, source.options, source.tenant_id)
        context.services.use(DocumentIntake).document_id("a", source.prefix)
    except (_WrongSource, ValueError) as error:
        return _refused(context, str(error))
    except Problem as problem:
        return _refused(context, _reasons(problem))
    await _look(context, source)
    documents = _documents(context, source)
    if await documents.prepare():
        context.console.say(f"created corpus {source.corpus_id}")
    async with context.services.db.tenant(source.tenant_id) as tx:
        if not await source_store.insert(tx, source):
            return _refused(
                context, f"source {source.name!r} exists; remove it first, or choose another name"
            )
        await items.adopt(tx, source.name, list(await documents.statuses(tx)))
        await context.record(tx, _note(source.name, {"connector": source.connector}))
    context.console.result(
        attrs.asdict(source), f"source {source.name} is kept in step {_when(source.every_s)}"
    )
    return 0


async def show(context: CommandContext) -> int:
    """All sources, with what became of their latest syncs."""
    rows: list[dict[str, object]] = []
    names = await source_store.all_sources(context.services)
    for tenant_id in sorted({source.tenant_id for source in names}):
        async with context.services.db.tenant(tenant_id, "read") as tx:
            found = await tx.fetch(
                """SELECT name, tenant_id, corpus_id, connector, options, prefix, every_s, allow_empty,
                    finished_at, outcome, reason, counts, failures, due_at
                FROM connectors.sources WHERE tenant_id = ragwork.tenant() ORDER BY name"""
            )
        rows += [{**row, "result": _result(row)} for row in found]
    columns = ("name", "tenant_id", "corpus_id", "connector", "finished_at", "outcome", "result")
    context.console.table(rows, columns, "there is no source; add one with `ragwork sources add`")
    return 0


async def sync(context: CommandContext) -> int:
    """Sync a source now, and wait for the end; 1 when it or one of its files failed."""
    found = await source_store.named(context.services, context.text("name"))
    async with context.services.db.tenant(found.tenant_id) as tx:
        job = await source_store.enqueue(context.services, tx, found.name, full=bool(context.options["full"]))
        if job is None:
            return _refused(context, f"source {found.name!r} is being removed")
        job_id, is_new = job
        note = AuditDetails(event="sources.sync.requested", resource_type="source", resource_id=found.name)
        await context.record(tx, note)
    if not is_new and context.options["full"]:
        return _refused(context, f"a sync of {found.name!r} is under way; ask for --full when it is over")
    if not is_new:
        context.console.say(f"a sync of {found.name} is under way; waiting for it")
    async with context.working(), context.console.progress(0, found.name, "file") as advance:
        shown = 0
        while True:
            row = await _progress(context, found, job_id)
            if row["listed"] > shown:
                advance(row["listed"] - shown)
                shown = row["listed"]
            if row["state"] in _ENDED:
                break
            await asyncio.sleep(_POLL_S)
    return _report(context, row)


async def remove(context: CommandContext) -> int:
    """Remove a source, and its documents if that is wanted. May be repeated after a stop."""
    found = await source_store.named(context.services, context.text("name"))
    async with context.services.db.tenant(found.tenant_id) as tx:
        row = await tx.fetchrow(
            """UPDATE connectors.sources SET is_leaving = true
            WHERE tenant_id = ragwork.tenant() AND name = $1
            RETURNING name, tenant_id, corpus_id, connector, options, prefix, readers, every_s, allow_empty""",
            found.name,
        )
    if row is None:
        return _refused(context, f"source {found.name!r} was removed meanwhile")
    source = ConfiguredSource(**row)
    removed = await _remove_documents(context, source) if context.options["documents"] else 0
    async with context.services.db.tenant(found.tenant_id) as tx:
        await tx.execute(
            "DELETE FROM connectors.sources WHERE tenant_id = ragwork.tenant() AND name = $1", found.name
        )
        await context.record(tx, _note(found.name, {"documents": removed}))
    said = f"; documents deleted: {removed}" if context.options["documents"] else "; its documents stay"
    context.console.result({"name": found.name, "documents": removed}, f"removed source {found.name}{said}")
    return 0


def _source(context: CommandContext) -> ConfiguredSource:
    """What was typed. Raises ``_WrongSource``."""
    name = context.text("name")
    if not _NAME.fullmatch(name):
        raise _WrongSource(
            f"{name!r} needs 40 small letters, digits and . _ - at most, a letter or digit first"
        )
    every_s = int(context.duration("every").total_seconds())
    if 0 < every_s < _SHORTEST_S:
        raise _WrongSource(
            "--every must be 1m at least, or 0s for a source that only `ragwork sources sync` syncs"
        )
    prefix = context.options["prefix"]
    return ConfiguredSource(
        name=name,
        tenant_id=context.text("tenant"),
        corpus_id=context.text("corpus"),
        connector=context.text("connector"),
        options=_pairs(context.options["option"]),
        prefix=prefix if isinstance(prefix, str) else f"{name}:",
        readers=context.text("readers"),
        every_s=every_s,
        allow_empty=bool(context.options["allow-empty"]),
    )


def _pairs(typed: object) -> Mapping[str, str]:
    """``--option key=value …``. Raises ``_WrongSource``."""
    pairs: dict[str, str] = {}
    for text in typed if isinstance(typed, tuple) else ():
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise _WrongSource(f"--option {text!r} must be written like path=/srv/handbook")
        if key in pairs:
            raise _WrongSource(f"--option {key} is given twice")
        pairs[key] = value
    return pairs


async def _look(context: CommandContext, source: ConfiguredSource) -> None:
    """List a first file, so that wrong options are told now. Raises ``ProviderError``."""
    connector = await context.services.providers.open(CONNECTOR, source.connector)
    async with aclosing(connector.open(source.options).items()) as listing:
        async for _ in listing:
            return
    context.console.say("the source has no file yet")


def _documents(context: CommandContext, source: ConfiguredSource) -> OriginDocuments:
    return context.services.use(DocumentIntake).of(
        source.tenant_id,
        source.corpus_id,
        source.origin,
        readers=source.reading,
        record=context.record,
    )


async def _remove_documents(context: CommandContext, source: ConfiguredSource) -> int:
    """Wait until no sync goes on, which sees that its source is leaving, and delete all that it made."""
    documents = _documents(context, source)
    while True:
        if not await _is_running(context, source):
            break
        await asyncio.sleep(_POLL_S)
    removed = 0
    while True:
        async with context.services.db.tenant(source.tenant_id) as tx:
            left = sorted(await documents.statuses(tx))[:_BATCH]
            removed += await documents.remove(tx, left)
        if not left:
            return removed


async def _is_running(context: CommandContext, source: ConfiguredSource) -> bool:
    async with context.services.db.tenant(source.tenant_id, "read") as tx:
        job_id = await tx.fetchval(
            "SELECT job_id FROM connectors.sources WHERE tenant_id = ragwork.tenant() AND name = $1",
            source.name,
        )
        status = None if job_id is None else await context.services.jobs.status(tx, job_id)
    return status is not None and status.state == "running"


async def _progress(context: CommandContext, source: SourceName, job_id: str) -> Row:
    """How the sync stands: the source's row, and the ``state`` of its job. Raises ``Problem`` 404 when it is gone."""
    async with context.services.db.tenant(source.tenant_id, "read") as tx:
        status = await context.services.jobs.status(tx, job_id)
        row = await tx.fetchrow(
            """SELECT name, listed, outcome, reason, counts, failures
            FROM connectors.sources WHERE tenant_id = ragwork.tenant() AND name = $1""",
            source.name,
        )
    if row is None:
        raise Problem("NOT_FOUND", f"source {source.name!r} was removed meanwhile")
    return {**row, "state": "dead" if status is None else status.state}


def _report(context: CommandContext, row: Row) -> int:
    has_failed = row["state"] == "dead"
    for line in () if has_failed else row["failures"]:
        context.console.say(line)
    counts = {} if has_failed else row["counts"] or {}
    data = {"name": row["name"], "outcome": row["outcome"], "reason": row["reason"], **counts}
    context.console.result(data, f"{row['name']}: {_result(row)}")
    return 1 if has_failed or counts.get("failed") else 0


def _result(row: Row) -> str:
    """The latest sync in words."""
    if row["outcome"] == "failed":
        return f"failed: {row['reason']}"
    counts = row["counts"] or {}
    always = ("new", "changed", "removed", "unchanged", "failed")
    order = ("new", "changed", "removed", "unchanged", "skipped", "failed")
    return ", ".join(
        f"{counts[name]} {name}" for name in order if counts.get(name) or (counts and name in always)
    )


def _reasons(problem: Problem) -> str:
    errors = problem.details.get("errors")
    if not isinstance(errors, Sequence):
        return str(problem)
    return "; ".join(f"--option {error['loc'][-1]}: {error['msg']}" for error in errors)


def _when(every_s: int) -> str:
    if not every_s:
        return "by `ragwork sources sync` alone"
    return f"every {every_s // 60} minutes" if every_s % 60 == 0 else f"every {every_s} seconds"


def _note(name: str, metadata: Mapping[str, object]) -> AuditDetails:
    return AuditDetails(resource_type="source", resource_id=name, metadata=metadata)


def _refused(context: CommandContext, reason: str) -> int:
    context.console.result({"error": reason}, f"error: {reason}")
    return 1


_NAMED: Final = Option(name="name", help="the source", positional=True, required=True)

COMMANDS: Final = (
    Command(
        path=("sources", "add"),
        help="Keep a corpus in step with a folder or a store",
        options=(
            _NAMED,
            Option(name="tenant", help="tenant id; created when new", required=True, type="tenant"),
            Option(name="corpus", help="corpus id; created when new", required=True),
            Option(name="connector", help="what reads it: folder, s3 …", required=True),
            Option(
                name="option",
                help="of the connector, as key=value: path=/srv/handbook, bucket=handbook",
                repeated=True,
            ),
            Option(name="every", help="how often; 0s: on command only", default="15m", type="duration"),
            Option(
                name="prefix", help="begins the id of each document; the source's name and a colon if unset"
            ),
            Option(
                name="readers",
                help="who may read the documents",
                default="tenant",
                choices=("tenant", "owner"),
            ),
            Option(name="allow-empty", help="a source without a file deletes all its documents", flag=True),
        ),
        run=add,
        audit_event="sources.added",
    ),
    Command(
        path=("sources", "list"),
        help="Every source, and how its latest sync went",
        options=(),
        run=show,
        audit_event=None,
    ),
    Command(
        path=("sources", "sync"),
        help="Sync a source now, and wait until its documents are indexed",
        options=(
            _NAMED,
            Option(name="full", help="read every file again, whatever its version", flag=True),
        ),
        run=sync,
        audit_event="sources.sync.requested",
    ),
    Command(
        path=("sources", "remove"),
        help="Stop keeping a corpus in step with a source",
        options=(_NAMED, Option(name="documents", help="delete the documents, too", flag=True)),
        run=remove,
        audit_event="sources.removed",
    ),
)
