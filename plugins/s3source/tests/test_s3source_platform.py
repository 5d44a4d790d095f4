"""A bucket as a source, through the whole platform."""

import pytest
import pytest_asyncio
from ragwork_testkit import s3_server
from ragwork_testkit.platform import QuietConsole, option_values, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
PLUGINS = (
    "directory", "apikeys", "rbac", "wordllama", "pgvector", "documents", "parsing", "connectors", "s3source",
)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server():
    async with s3_server.serving(page_size=3, buckets={"handbook": {}}) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(postgres, server):
    settings = {
        "S3_SOURCE_ENDPOINT_URL": server.base_url,
        "S3_SOURCE_ACCESS_KEY_ID": s3_server.S3_KEY_ID,
        "S3_SOURCE_SECRET_ACCESS_KEY": s3_server.S3_SECRET,
        "EGRESS_ALLOW_PRIVATE": "127.0.0.0/8",
    }
    async with running(postgres, PLUGINS, settings) as started:
        yield started


async def sync(app, name):
    command = next(c for c in app.commands() if c.path == ("sources", "sync"))
    console = QuietConsole()
    await app.run(command, option_values(command, {"name": name}), console)
    return console.results[-1]


async def ids(app, tenant):
    key = await app.key(tenant, "reader", "rita")
    return {d["id"] for d in (await app.call("GET", "/v1/documents?limit=200", key)).data}


def counts(result):
    return tuple(result[name] for name in ("new", "changed", "removed", "unchanged", "failed"))


async def test_a_bucket_is_kept_in_step_and_a_listing_that_breaks_deletes_nothing(app, server):
    objects = server.buckets["handbook"]
    objects |= {f"gates/{n}.md": f"Gate {n} opens at {n} past noon.".encode() for n in range(8)}
    options = {"tenant": "t1", "corpus": "c", "connector": "s3", "option": "bucket=handbook"}
    await app.command("sources", "add", name="bucket", every="0s", **options)
    assert counts(await sync(app, "bucket")) == (8, 0, 0, 0, 0)
    asked = len(server.requests)
    assert counts(await sync(app, "bucket")) == (0, 0, 0, 8, 0)
    assert len(server.requests) - asked == 3, "what is unchanged was read again"

    objects["gates/0.md"] = b"Gate 0 opens at midnight."
    objects["gates/one.md"] = objects.pop("gates/1.md")
    del objects["gates/2.md"]
    assert counts(await sync(app, "bucket")) == (1, 1, 2, 5, 0)
    known = await ids(app, "t1")
    assert known == {f"bucket:gates:{n}.md" for n in (0, "one", 3, 4, 5, 6, 7)}

    server.faults.extend(["", "403"])
    broken = await sync(app, "bucket")
    assert broken["outcome"] == "failed"
    assert "check S3_SOURCE_ACCESS_KEY_ID" in broken["reason"]
    assert await ids(app, "t1") == known
    # A failure that passes is over by the next attempt.
    server.faults.extend(["", "503"])
    assert counts(await sync(app, "bucket")) == (0, 0, 0, 7, 0)
    assert await ids(app, "t2") == set()


async def test_one_source_that_fails_leaves_the_other_alone(app, server):
    server.buckets |= {"first": {"a.md": b"The first gate."}, "second": {"b.md": b"The second gate."}}
    for name in ("first", "second"):
        options = {"tenant": "t3", "corpus": "c", "connector": "s3", "option": f"bucket={name}"}
        await app.command("sources", "add", name=name, every="0s", **options)
        await sync(app, name)
    del server.buckets["first"]
    failed = await sync(app, "first")
    assert (failed["outcome"], "NoSuchBucket" in failed["reason"]) == ("failed", True)
    assert counts(await sync(app, "second")) == (0, 0, 0, 1, 0)
    assert await ids(app, "t3") == {"first:a.md", "second:b.md"}
