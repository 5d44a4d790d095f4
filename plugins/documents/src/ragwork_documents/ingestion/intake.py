"""Documents kept in step with files elsewhere: implements ``ragwork_hooks.documents.DocumentIntake``."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Literal

import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Principal
from ragwork_hooks.documents import IncomingFile, IntakeResult, OriginDocuments
from ragwork_hooks.errors import Problem, ProviderError
from ragwork_hooks.parsing import DocumentParsing, ParseError
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction

from ragwork_documents.config import DocumentsConfig
from ragwork_documents.ingestion import file_finder
from ragwork_documents.ingestion.bulk import BulkIngest, operator_of
from ragwork_documents.ingestion.document_service import DocumentService
from ragwork_documents.ingestion.input_checks import MAX_FILENAME
from ragwork_documents.ingestion.settlement import settled
from ragwork_documents.ingestion.stored_file import stored_file
from ragwork_documents.ingestion.submission import Overwrite, Submission, SubmissionResult
from ragwork_documents.ingestion.submission_requests import submission_of_file
from ragwork_documents.permissions.acl import DocumentAcl

#: Seconds between two looks at documents that are under way: at first, and at most.
_POLL_S: Final = (0.05, 1.0)
#: How often a document is sent whose earlier version is being ingested still.
_ATTEMPTS: Final = 3


@attrs.frozen(kw_only=True)
class Intake:
    """What every origin shares. Without ``parsing`` no file is taken."""

    services: Services
    config: DocumentsConfig
    access: DocumentAcl
    parsing: DocumentParsing | None
    document_service: DocumentService

    def document_id(self, name: str, prefix: str) -> str:
        file_finder.check_prefix(prefix)
        return file_finder.document_id_of(name, prefix)

    def of(
        self,
        tenant_id: str,
        corpus_id: str,
        origin: str,
        *,
        readers: Sequence[str],
        record: Callable[[Transaction, AuditDetails], Awaitable[None]],
    ) -> OriginDocuments:
        return OriginIntake(
            intake=self,
            tenant_id=tenant_id,
            corpus_id=corpus_id,
            origin=origin,
            readers=readers,
            record=record,
            principal=operator_of(tenant_id),
        )


@attrs.frozen(kw_only=True)
class OriginIntake:
    """Implements ``OriginDocuments``; see there."""

    intake: Intake
    tenant_id: str
    corpus_id: str
    origin: str
    readers: Sequence[str]
    record: Callable[[Transaction, AuditDetails], Awaitable[None]]
    principal: Principal

    @property
    def max_bytes(self) -> int:
        return self.intake.config.max_bytes

    async def prepare(self) -> bool:
        bulk = BulkIngest(
            self.intake.services,
            self.tenant_id,
            self.corpus_id,
            self.readers,
            self.intake.access,
            self.record,
        )
        return await bulk.prepare(self.intake.config.embedding_provider)

    async def statuses(self, tx: Transaction, document_ids: Sequence[str] | None = None) -> Mapping[str, str]:
        rows = await tx.fetch(
            """SELECT id, status FROM documents.documents
            WHERE tenant_id = ragwork.tenant() AND corpus_id = $1 AND origin = $2
                AND ($3::text[] IS NULL OR id = ANY ($3))""",
            self.corpus_id,
            self.origin,
            None if document_ids is None else list(document_ids),
        )
        return {row["id"]: row["status"] for row in rows}

    async def put(self, files: Sequence[IncomingFile]) -> Sequence[IntakeResult]:
        results: dict[str, IntakeResult] = {}
        submissions: list[Submission] = []
        for file in files:
            try:
                submissions.append(await self._submission(file))
            except (ParseError, Problem) as error:
                results[file.document_id] = _result(file.document_id, "skipped", str(error))
            except ProviderError as error:
                results[file.document_id] = _result(file.document_id, "failed", str(error))
        for _ in range(_ATTEMPTS):
            if not submissions:
                break
            accepted = await self._accept(submissions)
            results |= await self._awaited(accepted)
            busy = {each.document_id for each in accepted if _is_busy(each)}
            submissions = [each for each in submissions if each.document_id in busy]
        return [results[file.document_id] for file in files]

    async def remove(self, tx: Transaction, document_ids: Sequence[str]) -> int:
        rows = await tx.fetch(
            """SELECT id FROM documents.documents
            WHERE tenant_id = ragwork.tenant() AND corpus_id = $1 AND origin = $2 AND id = ANY ($3::text[])
            ORDER BY id FOR UPDATE""",
            self.corpus_id,
            self.origin,
            list(document_ids),
        )
        gone = [row["id"] for row in rows]
        if gone:
            await self.intake.document_service.erase(tx, gone)
        for document_id in gone:
            await self._note(tx, "documents.deleted", document_id)
        return len(gone)

    async def _submission(self, file: IncomingFile) -> Submission:
        """Raises ``ParseError``, ``Problem`` and ``ProviderError``."""
        if self.intake.parsing is None:
            raise ProviderError(
                "PARSER_CONFIG_INVALID", "files need the plugin parsing, which is not enabled"
            )
        name = file.filename[-MAX_FILENAME:]
        stored = await stored_file(self.intake.parsing, self.tenant_id, file.data, name, "")
        return submission_of_file(stored, file.document_id, self.origin)

    async def _accept(self, submissions: Sequence[Submission]) -> Sequence[SubmissionResult]:
        async with self.intake.services.db.tenant(self.tenant_id) as tx:
            accepted = await self.intake.document_service.accept(
                tx, self.principal, self.corpus_id, submissions, Overwrite.OWN, self.readers
            )
            for each in accepted:
                if each.fresh:
                    await self._note(tx, "documents.ingest.enqueued", each.document_id)
        return accepted

    async def _awaited(self, accepted: Sequence[SubmissionResult]) -> dict[str, IntakeResult]:
        """A result for each, once it is settled; of one whose earlier version was in the way, the refusal."""
        results = {}
        under_way = []
        for each in accepted:
            if each.refusal is not None:
                results[each.document_id] = _result(each.document_id, "failed", str(each.refusal))
            elif each.status == "succeeded" and not each.fresh:
                results[each.document_id] = _result(each.document_id, "unchanged")
            if _is_busy(each) or each.document_id not in results:
                under_way.append(each.document_id)
        pause, longest = _POLL_S
        while under_way:
            done = await settled(self.intake.services.db, self.tenant_id, under_way)
            for document in done:
                outcome = _result(document.document_id, "indexed")
                if document.failure is not None:
                    outcome = _result(document.document_id, "failed", document.failure)
                results.setdefault(document.document_id, outcome)
            ended = {document.document_id for document in done}
            under_way = [document_id for document_id in under_way if document_id not in ended]
            if under_way:
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, longest)
        return results

    async def _note(self, tx: Transaction, event: str, document_id: str) -> None:
        note = AuditDetails(event=event, resource_type="document", resource_id=document_id)
        await self.record(tx, note)


def _is_busy(result: SubmissionResult) -> bool:
    return result.refusal is not None and result.refusal.code == "INGEST_IN_PROGRESS"


def _result(
    document_id: str, outcome: Literal["indexed", "unchanged", "skipped", "failed"], reason: str = ""
) -> IntakeResult:
    return IntakeResult(document_id=document_id, outcome=outcome, reason=reason)
