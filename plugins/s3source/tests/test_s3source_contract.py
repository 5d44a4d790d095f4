"""``s3`` keeps the contract of kind ``connector``, through the vendor's SDK, against a server that speaks S3."""

import pytest
from ragwork_hooks.connectors import CONNECTOR
from ragwork_hooks.errors import ProviderError
from ragwork_testkit import aws_environment, s3_server
from ragwork_testkit.connector import MAX_BYTES, ConnectorContract
from ragwork_testkit.entry_point import entry_points
from ragwork_testkit.imports import brought_by
from ragwork_testkit.services import OpeningServices, opening_services


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    aws_environment.clear(monkeypatch, tmp_path)


KEYS = {
    "S3_SOURCE_ACCESS_KEY_ID": s3_server.S3_KEY_ID,
    "S3_SOURCE_SECRET_ACCESS_KEY": s3_server.S3_SECRET,
}


class TestS3(ConnectorContract):
    settings = KEYS

    @pytest.fixture(autouse=True)
    async def with_server(self):
        async with s3_server.serving(page_size=10, buckets={"files": {}}) as self.server:
            yield

    async def make(self):
        (point,) = entry_points(type(self), CONNECTOR)
        return await point.open(self._services, {**KEYS, "S3_SOURCE_ENDPOINT_URL": self.server.base_url})

    def options(self):
        return {"bucket": "files"}

    async def put(self, key, data):
        self.server.buckets["files"][key] = data

    async def delete(self, key):
        del self.server.buckets["files"][key]

    async def rename(self, key, to):
        objects = self.server.buckets["files"]
        objects[to] = objects.pop(key)

    async def break_listing(self):
        self.server.faults.extend(["", "500"])


@pytest.fixture
async def server():
    async with s3_server.serving(buckets={"files": {"a/b.txt": b"text"}}) as running:
        yield running


@pytest.fixture
async def services():
    async with opening_services({}) as made:
        yield made


async def connector(services: OpeningServices, server, **settings):
    (point,) = entry_points(TestS3, CONNECTOR)
    environ = {**KEYS, "S3_SOURCE_ENDPOINT_URL": server.base_url, **settings}
    return await point.open(services, environ)


async def listed(made, **options):
    return [item async for item in made.open({"bucket": "files", **options}).items()]


async def test_a_prefix_bounds_what_is_listed_and_is_no_part_of_the_paths(server, services):
    server.buckets["files"] |= {"hand/x.txt": b"x", "hand/": b"", "hand/.hid": b"h", "other.txt": b"o"}
    made = await connector(services, server)
    assert [item.key for item in await listed(made, prefix="hand/")] == ["x.txt"]
    (item,) = await listed(made, prefix="ha")
    assert item.key == "nd/x.txt"
    assert await made.open({"bucket": "files", "prefix": "ha"}).read(item, MAX_BYTES) == b"x"


async def test_a_thousand_and_one_objects_are_two_pages(server, services):
    server.buckets["files"] = {f"{n:05}.txt": b"x" for n in range(1001)}
    assert len(await listed(await connector(services, server))) == 1001
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("fault", "retryable"),
    [("503", True), ("403", False), ("truncate", True), ("garbage", True), ("drop", True)],
)
async def test_what_goes_wrong_is_told_and_repeated_where_that_helps(server, services, fault, retryable):
    server.faults.extend([fault, fault])  # the client asks once more on a dropped connection
    with pytest.raises(ProviderError) as failed:
        await listed(await connector(services, server))
    assert failed.value.retryable is retryable
    assert "as told" not in failed.value.message


async def test_a_wrong_key_and_a_missing_bucket_say_what_to_check(server, services):
    made = await connector(services, server, S3_SOURCE_SECRET_ACCESS_KEY="another")
    with pytest.raises(ProviderError, match="check S3_SOURCE_ACCESS_KEY_ID") as refused:
        await listed(made)
    assert not refused.value.retryable
    with pytest.raises(ProviderError, match="NoSuchBucket"):
        await listed(await connector(services, server), bucket="nothere")


async def test_without_keys_the_settings_are_named(server, services):
    settings = {"S3_SOURCE_ENDPOINT_URL": server.base_url}
    (point,) = entry_points(TestS3, CONNECTOR)
    made = await point.open(services, settings)
    with pytest.raises(ProviderError, match="set S3_SOURCE_ACCESS_KEY_ID"):
        await listed(made)


async def test_half_of_a_key_is_found_out_at_the_start():
    from ragwork_s3source.config import S3SourceConfig
    from ragwork_s3source.s3_connector import provider

    assert "needs both" in provider.ready(S3SourceConfig(access_key_id="x"))
    assert provider.ready(S3SourceConfig()) is None


@pytest.mark.parametrize("module", ["ragwork_s3source", "ragwork_s3source.s3_connector"])
async def test_no_module_that_the_kernel_loads_imports_the_sdk(module):
    assert await brought_by(module, ("boto3", "botocore")) == []
