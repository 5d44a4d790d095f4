"""The connector ``s3``: the objects of a bucket."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

import attrs
from ragwork_hooks.connectors import Connector, FileSource, SourceItem
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.providers import Provider, ProviderContext
from ragwork_hooks.services import Egress
from ragwork_toolkit.lazy import LazyImport

from ragwork_s3source.config import BucketOptions, S3SourceConfig
from ragwork_s3source.errors import translated
from ragwork_s3source.sdk_call import SdkCall, send

T = TypeVar("T")

_REGION: Final = "us-east-1"
#: The largest answer but for an object: a page has 1000 keys of 1024 bytes, which may each be written as three.
_PAGE_BYTES: Final = 16_000_000


@attrs.frozen(kw_only=True)
class S3Connector:
    """Implements ``Connector``. ``client`` is the SDK's, made when it is first needed."""

    config: S3SourceConfig
    egress: Egress
    client: LazyImport[Any]
    name: str = "s3"

    def open(self, options: Mapping[str, object]) -> FileSource:
        return BucketSource(self, str(options["bucket"]), str(options.get("prefix", "")))

    async def call(self, work: Callable[[Any], T], max_bytes: int = _PAGE_BYTES) -> T:
        """``work(client)`` in a thread. Raises ``ProviderError``."""
        try:
            client = await self.client.get()
        except Exception as error:
            raise await asyncio.to_thread(translated, error) from error
        call = SdkCall(self.egress, self.config.timeout_s, max_bytes)

        def told() -> T:
            try:
                return work(client)
            except Exception as error:
                raise translated(error) from error

        return await call.run(told)


class BucketSource:
    """The objects whose keys begin with ``prefix``. A key's rest is the path."""

    def __init__(self, connector: S3Connector, bucket: str, prefix: str) -> None:
        self._connector = connector
        self._bucket = bucket
        self._prefix = prefix

    async def items(self) -> AsyncGenerator[SourceItem, None]:
        """See ``FileSource.items``; a page at a time."""
        more: dict[str, str] = {}
        while True:
            page = await self._connector.call(partial(self._page, more=more))
            for found in page.get("Contents", ()):
                if (item := self._item(found)) is not None:
                    yield item
            if not page["IsTruncated"]:
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    async def read(self, item: SourceItem, max_bytes: int) -> bytes:
        """See ``FileSource.read``."""

        def get(client: Any) -> bytes:
            answer = client.get_object(Bucket=self._bucket, Key=self._prefix + item.key)
            data: bytes = answer["Body"].read()
            return data

        return await self._connector.call(get, max_bytes)

    def _page(self, client: Any, more: Mapping[str, str]) -> Mapping[str, Any]:
        page: Mapping[str, Any] = client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, **more)
        # Anything in XML is an answer to the SDK. An empty page must say that it is one.
        is_page = page.get("Name") == self._bucket and "IsTruncated" in page
        if not is_page or (page["IsTruncated"] and not page.get("NextContinuationToken")):
            raise ProviderError(
                "CONNECTOR_ERROR", f"what the store answers is no listing of {self._bucket}", retryable=True
            )
        return page

    def _item(self, found: Mapping[str, Any]) -> SourceItem | None:
        """The object, unless it stands for a folder or is hidden."""
        key = str(found["Key"]).removeprefix(self._prefix)
        if not key or key.endswith("/") or any(part.startswith(".") for part in key.split("/")):
            return None
        return SourceItem(
            key=key, version=str(found["ETag"]), size=int(found["Size"]), modified=found.get("LastModified")
        )


def _client(config: S3SourceConfig, region: str) -> Any:
    """Takes most of a second: it imports the SDK, and reads the service's description."""
    from boto3.session import Session
    from botocore.config import Config

    client = Session().client(
        "s3",
        region_name=region,
        endpoint_url=config.endpoint_url,
        aws_access_key_id=config.access_key_id,
        aws_secret_access_key=config.secret_access_key,
        config=Config(
            retries={"total_max_attempts": 1, "mode": "standard"},  # the job is repeated
            s3={"addressing_style": "path" if config.path_style else "virtual"},
            signature_version="s3v4",
            # Else an answer without a checksum that the SDK knows of is an error.
            response_checksum_validation="when_required",
            request_checksum_calculation="when_required",
        ),
    )
    client.meta.events.register("before-send.s3", send)
    return client


async def _open(context: ProviderContext[S3SourceConfig]) -> Connector:
    config, secrets = context.config, context.services.secrets
    region = config.region or secrets.value("AWS_REGION") or secrets.value("AWS_DEFAULT_REGION") or _REGION
    client = LazyImport(lambda: _client(config, region))
    return S3Connector(config=config, egress=context.services.egress, client=client)


def _ready(config: S3SourceConfig) -> str | None:
    if (config.access_key_id is None) != (config.secret_access_key is None):
        return "needs both of S3_SOURCE_ACCESS_KEY_ID and S3_SOURCE_SECRET_ACCESS_KEY, or neither"
    return None


provider: Provider[Connector] = Provider(name="s3", open=_open, options=BucketOptions, ready=_ready)
