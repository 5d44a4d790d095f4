"""The job that keeps a corpus in step with a source: list, read what is new or changed, and then delete what is gone.

Every step can be repeated. A file's version is put down when its document is indexed, so a sync that was killed reads
again what it had not finished; documents are deleted only after a listing that came to its end.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Final

import attrs
from ragwork_hooks.audit import AuditDetails, AuditEvent, AuditLog
from ragwork_hooks.connectors import CONNECTOR, FileSource, SourceItem
from ragwork_hooks.documents import DocumentIntake, IncomingFile, OriginDocuments
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.jobs import Job, JobKind, PermanentFailure
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction

from ragwork_connectors import items, source_store
from ragwork_connectors.items import CHANGES, Change, KnownItem, SyncedItem
from ragwork_connectors.source_store import SYNC, ConfiguredSource

#: Files that are compared, and documents that are deleted, together.
PAGE: Final = 200
#: Files that a source may have: their ids are held in memory.
MAX_ITEMS: Final = 1_000_000
#: Files that are read at once, and what is ingested together: files, and bytes.
_READS: Final = 4
_BATCH: Final = 32
_BATCH_BYTES: Final = 4_000_000


class _SourceLeft(Exception):
    """The source was removed meanwhile."""


@attrs.define(kw_only=True)
class _Sync:
    """A sync under way. ``seen`` are the documents of all files that were listed, ``skipped`` how many of them are
    known to be none.
    """

    job: Job
    source: ConfiguredSource
    documents: OriginDocuments
    files: FileSource
    seen: set[str] = attrs.field(factory=set)
    skipped: int = 0


@attrs.frozen(kw_only=True)
class _ListedFile:
    """A file as it was listed, and what is known of its document."""

    document_id: str
    item: SourceItem
    known: KnownItem | None

    def as_synced(self, change: Change, reason: str = "") -> SyncedItem:
        is_settled = change != "failed"
        return SyncedItem(
            document_id=self.document_id,
            key=printable(self.item.key),
            version=self.item.version if is_settled else None,
            change=change,
            reason=printable(reason),
        )


class SyncJobs:
    """Runs ``connectors.sync`` jobs."""

    def __init__(self, services: Services, intake: DocumentIntake, audit: AuditLog | None) -> None:
        self._services = services
        self._intake = intake
        self._audit = audit

    def kind(self) -> JobKind:
        """The declaration of the job."""
        return JobKind(name=SYNC, run=self.run, on_dead=self.dead, backoff_s=5.0, concurrency=2)

    async def run(self, job: Job) -> None:
        """One sync. A source that is gone has none."""
        try:
            await self._run(job)
        except _SourceLeft:
            return
        except ProviderError as error:
            if error.retryable:
                raise
            raise PermanentFailure(str(error)) from error

    async def dead(self, job: Job, reason: str) -> None:
        """Put the failure down, where the operator sees it."""
        async with self._services.db.tenant(job.tenant_id) as tx:
            await tx.execute(
                """UPDATE connectors.sources SET outcome = 'failed', reason = $3, finished_at = now()
                WHERE tenant_id = ragwork.tenant() AND name = $1 AND job_id = $2""",
                job.payload["source"],
                job.id,
                reason,
            )
        self._count("failed")

    async def _run(self, job: Job) -> None:
        sync = await self._begin(job)
        async with aclosing(sync.files.items()) as listing:
            async for page in pages(listing):
                await self._take_in(sync, page)
        gone = await self._gone(sync)
        for start in range(0, len(gone), PAGE):
            await self._remove(sync, gone[start : start + PAGE])
        await self._finish(sync)
        self._count("succeeded")

    async def _begin(self, job: Job) -> _Sync:
        name = job.payload["source"]
        async with self._services.db.tenant(job.tenant_id) as tx:
            source = await source_store.configured(tx, name)
            if source is None:
                raise _SourceLeft
            await self._still_wanted(tx, job)
            await tx.execute(
                """UPDATE connectors.sources SET started_at = coalesce(started_at, now()), listed = 0
                WHERE tenant_id = ragwork.tenant() AND name = $1""",
                name,
            )
        connector = await self._services.providers.open(CONNECTOR, source.connector)
        documents = self._intake.of(
            source.tenant_id,
            source.corpus_id,
            source.origin,
            readers=source.reading,
            record=self._recorder(source),
        )
        return _Sync(job=job, source=source, documents=documents, files=connector.open(source.options))

    async def _take_in(self, sync: _Sync, page: Sequence[SourceItem]) -> None:
        """Compare a page of the listing with what is known, and ingest what differs."""
        by_id = {self._intake.document_id(item.key, sync.source.prefix): item for item in page}
        fresh = {document_id: item for document_id, item in by_id.items() if document_id not in sync.seen}
        if len(sync.seen) + len(fresh) > MAX_ITEMS:
            raise PermanentFailure(f"the source has more than {MAX_ITEMS} files: make several of it")
        async with self._services.db.tenant(sync.job.tenant_id, "read") as tx:
            known = await items.known(tx, sync.source.name, list(fresh))
            statuses = await sync.documents.statuses(tx, list(fresh))
        sync.seen |= fresh.keys()
        wanted = []
        for document_id, item in fresh.items():
            listed = _ListedFile(document_id=document_id, item=item, known=known.get(document_id))
            if "full" in sync.job.payload or _differs(listed, statuses):
                wanted.append(listed)
            elif listed.known and not listed.known.is_document and listed.known.job_id != sync.job.id:
                sync.skipped += 1
        async for batch, files in self._read(sync, wanted):
            await self._ingest(sync, batch, files)
        await self._report(sync)

    async def _read(
        self, sync: _Sync, wanted: Sequence[_ListedFile]
    ) -> AsyncIterator[tuple[Sequence[_ListedFile], Mapping[str, bytes | ProviderError]]]:
        """``wanted`` in batches, with the content of each, or why there is none."""
        batch: list[_ListedFile] = []
        contents: dict[str, bytes | ProviderError] = {}
        size = 0
        for start in range(0, len(wanted), _READS):
            some = wanted[start : start + _READS]
            read = await asyncio.gather(*(self._content(sync, listed.item) for listed in some))
            batch += some
            contents |= {listed.document_id: data for listed, data in zip(some, read, strict=True)}
            size += sum(len(data) for data in read if isinstance(data, bytes))
            if len(batch) >= _BATCH or size >= _BATCH_BYTES:
                yield batch, contents
                batch, contents, size = [], {}, 0
        if batch:
            yield batch, contents

    async def _content(self, sync: _Sync, item: SourceItem) -> bytes | ProviderError:
        most = sync.documents.max_bytes
        if item.size > most:
            said = f"has {item.size} bytes; INGEST_MAX_BYTES lets in {most}"
            return ProviderError("CONNECTOR_ERROR", said)
        try:
            return await sync.files.read(item, most)
        except ProviderError as error:
            return error

    async def _ingest(
        self, sync: _Sync, batch: Sequence[_ListedFile], contents: Mapping[str, bytes | ProviderError]
    ) -> None:
        """Make documents of a batch, wait until they are indexed, and put down what became of each."""
        incoming = [
            IncomingFile(document_id=listed.document_id, filename=printable(listed.item.key), data=data)
            for listed in batch
            if isinstance(data := contents[listed.document_id], bytes)
        ]
        results = {result.document_id: result for result in await sync.documents.put(incoming)}
        synced = []
        for listed in batch:
            error = contents[listed.document_id]
            if isinstance(error, ProviderError):
                synced.append(listed.as_synced("failed", error.message))
                continue
            result = results[listed.document_id]
            change: Change = "new" if listed.known is None else "changed"
            if result.outcome != "indexed":
                change = result.outcome
            synced.append(listed.as_synced(change, result.reason))
        async with self._services.db.tenant(sync.job.tenant_id) as tx:
            await self._still_wanted(tx, sync.job)
            await items.write(tx, sync.source.name, sync.job.id, synced)
            # What was a document, and is none any more.
            await sync.documents.remove(tx, [item.document_id for item in synced if item.change == "skipped"])

    async def _report(self, sync: _Sync) -> None:
        async with self._services.db.tenant(sync.job.tenant_id) as tx:
            await self._still_wanted(tx, sync.job)
            await tx.execute(
                """UPDATE connectors.sources SET listed = $2
                WHERE tenant_id = ragwork.tenant() AND name = $1""",
                sync.source.name,
                len(sync.seen),
            )

    async def _gone(self, sync: _Sync) -> Sequence[str]:
        """The documents whose files were not listed. Raises ``PermanentFailure`` when that is all of them, unless the
        source may become empty.
        """
        async with self._services.db.tenant(sync.job.tenant_id, "read") as tx:
            known = await items.ids(tx, sync.source.name)
        if known and not sync.seen and not sync.source.allow_empty:
            raise PermanentFailure(
                f"the source lists no file, and {len(known)} are known: nothing was deleted. Is it mounted, and are its"
                " options right? `ragwork sources add --allow-empty` makes one that may become empty"
            )
        return [document_id for document_id in known if document_id not in sync.seen]

    async def _remove(self, sync: _Sync, document_ids: Sequence[str]) -> None:
        async with self._services.db.tenant(sync.job.tenant_id) as tx:
            await self._still_wanted(tx, sync.job)
            await sync.documents.remove(tx, document_ids)
            await items.remove(tx, sync.source.name, document_ids)
            await tx.execute(
                """UPDATE connectors.sources SET removed = removed + $2
                WHERE tenant_id = ragwork.tenant() AND name = $1""",
                sync.source.name,
                len(document_ids),
            )

    async def _finish(self, sync: _Sync) -> None:
        name = sync.source.name
        async with self._services.db.tenant(sync.job.tenant_id) as tx:
            await self._still_wanted(tx, sync.job)
            changes = dict(await items.changes(tx, name, sync.job.id))
            changes["skipped"] = changes.get("skipped", 0) + sync.skipped
            changes["unchanged"] = len(sync.seen) - sum(
                changes.get(change, 0) for change in CHANGES if change != "unchanged"
            )
            counts: dict[str, int] = {change: changes.get(change, 0) for change in CHANGES}
            removed = await tx.fetchval(
                """UPDATE connectors.sources SET outcome = 'succeeded', reason = NULL, finished_at = now(),
                    counts = $2::jsonb || jsonb_build_object('removed', removed), failures = $3
                WHERE tenant_id = ragwork.tenant() AND name = $1 RETURNING removed""",
                name,
                counts,
                await items.failures(tx, name, sync.job.id),
            )
            note = AuditDetails(
                event="sources.synced",
                resource_type="source",
                resource_id=name,
                metadata={**counts, "removed": removed},
            )
            await self._recorder(sync.source)(tx, note)

    async def _still_wanted(self, tx: Transaction, job: Job) -> None:
        """Raises ``_SourceLeft`` for a source that was removed, or belongs to a later sync; else nobody removes it
        before the transaction's end.
        """
        is_wanted = await tx.fetchval(
            """SELECT true FROM connectors.sources
            WHERE tenant_id = ragwork.tenant() AND name = $1 AND job_id = $2 AND NOT is_leaving FOR UPDATE""",
            job.payload["source"],
            job.id,
        )
        if not is_wanted:
            raise _SourceLeft

    def _recorder(self, source: ConfiguredSource) -> "_SyncRecord":
        return _SyncRecord(log=self._audit, actor=source.origin)

    def _count(self, outcome: str) -> None:
        self._services.metrics.count("source_syncs_total", "Syncs of sources that ended.", outcome=outcome)


@attrs.frozen(kw_only=True)
class _SyncRecord:
    """Writes what a sync does into the audit log, in the source's name."""

    log: AuditLog | None
    actor: str

    async def __call__(self, tx: Transaction, note: AuditDetails) -> None:
        if self.log is None or note.event is None:
            return
        event = AuditEvent(
            type=note.event,
            outcome="success",
            actor_type="system",
            actor_id=self.actor,
            resource_type=note.resource_type,
            resource_id=note.resource_id,
            metadata=note.metadata,
        )
        await self.log.append(tx, event)


async def pages(listing: AsyncGenerator[SourceItem, None]) -> AsyncIterator[Sequence[SourceItem]]:
    """``listing`` in pieces of ``PAGE``; the last one may be shorter."""
    page: list[SourceItem] = []
    async for item in listing:
        page.append(item)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


def printable(text: str) -> str:
    """``text`` as Postgres stores it: file names may hold bytes that are no text."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def _differs(listed: _ListedFile, statuses: Mapping[str, str]) -> bool:
    """Whether the file has to be read: another version than the one put down, or a document that failed or is gone."""
    known = listed.known
    if known is None or known.version != listed.item.version:
        return True
    return known.is_document and statuses.get(listed.document_id, "failed") == "failed"
