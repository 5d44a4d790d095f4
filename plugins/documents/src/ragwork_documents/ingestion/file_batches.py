"""Files as batches of submissions: each read, told by its content, and checked."""

import asyncio
import zipfile
from collections.abc import AsyncIterator, Sequence
from typing import Final

from ragwork_hooks.errors import Problem, ProviderError
from ragwork_hooks.parsing import DocumentParsing, ParseError

from ragwork_documents.ingestion.file_finder import FoundFile, TooLarge
from ragwork_documents.ingestion.jsonl import MAX_BATCH
from ragwork_documents.ingestion.stored_file import stored_file
from ragwork_documents.ingestion.submission import Batch, Submission
from ragwork_documents.ingestion.submission_requests import submission_of_file

#: Whose documents ``ragwork ingest PATH… --mirror`` keeps in step.
ORIGIN: Final = "files"
#: Bytes of files that are accepted together.
_MAX_BATCH_BYTES: Final = 4_000_000


class FileBatches:
    """Reads files for one tenant. ``max_bytes`` is the largest that is taken."""

    def __init__(self, parsing: DocumentParsing, tenant_id: str, max_bytes: int) -> None:
        self._parsing = parsing
        self._tenant_id = tenant_id
        self._max_bytes = max_bytes

    async def batches(self, files: Sequence[FoundFile]) -> AsyncIterator[Batch]:
        """A bounded number of bytes at a time. What is no document (nobody parses it, or it is empty) is skipped, what
        can't be read has failed.
        """
        batch, size = Batch(), 0
        for file in files:
            try:
                submission = await self._submission(file)
            except (ParseError, Problem) as error:
                batch.skipped.append(f"{file.name}: {error}")
                continue
            except (OSError, zipfile.BadZipFile, RuntimeError, TooLarge, ProviderError) as error:
                batch.failures.append(f"{file.name}: {error}")
                continue
            more = len(submission.source)
            if batch.submissions and (len(batch.submissions) == MAX_BATCH or size + more > _MAX_BATCH_BYTES):
                yield batch
                batch, size = Batch(), 0
            batch.submissions.append(submission)
            size += more
        yield batch

    async def _submission(self, file: FoundFile) -> Submission:
        data = await asyncio.to_thread(file.read, self._max_bytes)
        stored = await stored_file(self._parsing, self._tenant_id, data, file.name, "")
        return submission_of_file(stored, file.document_id, ORIGIN)
