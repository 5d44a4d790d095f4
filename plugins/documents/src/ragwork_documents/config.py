"""Settings of corpora, documents and ingestion."""

import attrs
from ragwork_hooks.provider_kinds import EMBEDDING
from ragwork_hooks.settings import setting

MIB = 1024 * 1024
LARGEST_BODY = 64 * MIB


@attrs.frozen(kw_only=True)
class DocumentsConfig:
    """What an operator may set; the names are those of the wire contract's configuration."""

    embedding_provider: str = setting(
        "EMBEDDING_PROVIDER",
        "minilm",
        "embedder of a corpus that names none when it is created",
        binds=EMBEDDING,
    )
    max_bytes: int = setting(
        "INGEST_MAX_BYTES",
        16 * MIB,
        "largest body of an ingestion request, in bytes",
        ge=1024,
        le=LARGEST_BODY,
    )
    max_attempts: int = setting(
        "INGEST_MAX_RETRIES", 3, "attempts before a document is marked failed", ge=1, le=20
    )
    max_concurrency: int = setting(
        "INGEST_MAX_CONCURRENCY",
        4,
        "ingestion jobs of one tenant that a worker runs at once, and ingestion requests that a server takes at once",
        ge=1,
        le=64,
    )
    execution_mode: str = setting(
        "INGEST_EXECUTION_MODE",
        "queue",
        "queue: a worker indexes what was accepted; inline: within the request, whose answer says how it ended",
        choices=("queue", "inline"),
    )
    bulkhead: int | None = setting(
        "INGEST_BULKHEAD_MAX_CONCURRENCY", None, "overrides INGEST_MAX_CONCURRENCY", ge=1, le=64
    )
    admin_bypass_acl: bool = setting(
        "AUTHZ_ADMIN_BYPASS_DOCUMENT_ACL", False, "administrators reach documents without a grant"
    )

    @property
    def concurrency(self) -> int:
        return self.max_concurrency if self.bulkhead is None else self.bulkhead
