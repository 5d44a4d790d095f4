"""Settings of the plugin ``milvus``."""

import attrs
from ragwork_hooks.settings import header_value, setting


@attrs.frozen(kw_only=True)
class MilvusConfig:
    """Where Milvus is and how long it may take."""

    uri: str | None = setting(
        "MILVUS_URI",
        None,
        "Address of a Milvus server, or a file ending in .db for Milvus Lite in this process",
    )
    token: str | None = setting(
        "MILVUS_TOKEN", None, "Credential, user:password or an API key", secret=True, form=header_value
    )
    collection_prefix: str = setting(
        "MILVUS_COLLECTION_PREFIX", "ragwork", "Collections are named <prefix>_<length of the vectors>"
    )
    timeout_s: float = setting(
        "MILVUS_TIMEOUT_S", 10.0, "Longest wait for one call, in seconds", ge=0.1, le=120
    )
