"""Where blobs are kept: rows in Postgres, or what a plugin keeps in a folder."""

from pathlib import Path
from typing import Final

from ragwork_hooks.errors import ConfigError
from ragwork_hooks.infrastructure import BlobProvider
from ragwork_hooks.storage import Blob, Transaction

from ragwork_kernel.base import discovery

GROUP: Final = "ragwork.blob"
DIRECTORY: Final = "directory"
_PUT = """INSERT INTO ragwork.blobs (tenant_id, key, data) VALUES ($1, $2, $3)
    ON CONFLICT (tenant_id, key) DO UPDATE SET data = EXCLUDED.data, created_at = now()"""


class PostgresBlobs:
    """Implements ``ragwork_hooks.storage.Blob`` in ``ragwork.blobs``: backed up with everything else."""

    async def put(self, tx: Transaction, key: str, data: bytes) -> None:
        await tx.execute(_PUT, tx.tenant_id, key, data)

    async def get(self, tx: Transaction, key: str) -> bytes | None:
        data: bytes | None = await tx.fetchval(
            "SELECT data FROM ragwork.blobs WHERE tenant_id = $1 AND key = $2", tx.tenant_id, key
        )
        return data

    async def delete(self, tx: Transaction, key: str) -> None:
        await tx.execute("DELETE FROM ragwork.blobs WHERE tenant_id = $1 AND key = $2", tx.tenant_id, key)


def blobs(folder: str | None) -> Blob:
    """The database itself, so that every process on it sees the same blobs; a shared ``folder`` when one is named.

    Raises ``ConfigError`` when nothing installed keeps blobs in one.
    """
    if folder is None:
        return PostgresBlobs()
    missing = ConfigError(
        "BLOB_DIR",
        "is set and nothing installed keeps blobs in a folder",
        "install ragwork-blobdir, or unset it to keep blobs in Postgres",
    )
    provider: BlobProvider = discovery.needed(GROUP, DIRECTORY, missing)
    return provider.open(Path(folder))
