"""Settings of the plugin ``s3source``, and what a source may set."""

import attrs
from ragwork_hooks.fields import text
from ragwork_hooks.settings import http_url, setting


@attrs.frozen(kw_only=True)
class S3SourceConfig:
    """The store and whose keys sign. They stand here and not in a source, so that keys go to no other place."""

    endpoint_url: str | None = setting(
        "S3_SOURCE_ENDPOINT_URL", None, "Address of the store, if it is not Amazon's own", form=http_url
    )
    region: str | None = setting("S3_SOURCE_REGION", None, "Region; unset means AWS_REGION, else us-east-1")
    access_key_id: str | None = setting(
        "S3_SOURCE_ACCESS_KEY_ID", None, "Key that reads the buckets; unset means what the SDK finds"
    )
    secret_access_key: str | None = setting(
        "S3_SOURCE_SECRET_ACCESS_KEY", None, "Secret of that key", secret=True
    )
    path_style: bool = setting(
        "S3_SOURCE_PATH_STYLE", True, "Whether the bucket stands in the path; false: in the host's name"
    )
    timeout_s: float = setting(
        "S3_SOURCE_TIMEOUT_S", 60.0, "Longest that one request may take, in seconds", ge=0.1, le=3_600
    )


@attrs.frozen(kw_only=True)
class BucketOptions:
    """``bucket`` is read; with ``prefix`` only the keys that begin so, whose rest is a file's path."""

    bucket: str = text(min_length=3, max_length=255, pattern=r"[A-Za-z0-9][A-Za-z0-9._\-]+")
    prefix: str = text(default="", max_length=1024)
