"""Sources through the whole platform: added, synced, changed, renamed, emptied, removed, and nobody else's."""

import asyncio
import os
import shutil

import pytest
import pytest_asyncio
from ragwork_hooks.errors import Problem, ProviderError
from ragwork_testkit.platform import QuietConsole, option_values, running

pytestmark = pytest.mark.asyncio(loop_scope="module")
PLUGINS = (
    "directory", "apikeys", "rbac", "audit", "wordllama", "pgvector", "documents", "parsing", "connectors",
)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(postgres):
    async with running(postgres, PLUGINS) as started:
        yield started


class Source:
    """A folder source of a tenant of its own, and what a test asks of it."""

    def __init__(self, app, root, name):
        self.app, self.root, self.name = app, root, name
        self.tenant = f"t-{name}"

    async def add(self, **options):
        given = {"every": "0s", "corpus": "c", "connector": "folder", **options}
        typed = {"name": self.name, "tenant": self.tenant, "option": f"path={self.root}", **given}
        return await self.app.command("sources", "add", **typed)

    async def sync(self, **options):
        return (await self.sync_said(**options)).results[-1]

    async def sync_said(self, **options):
        """Whatever the exit status."""
        command = next(c for c in self.app.commands() if c.path == ("sources", "sync"))
        console = QuietConsole()
        await self.app.run(command, option_values(command, {"name": self.name, **options}), console)
        return console

    async def row(self):
        console = await self.app.command("sources", "list")
        return next(row for row in console.results[-1] if row["name"] == self.name)

    async def documents(self, tenant=None):
        key = await self.app.key(tenant or self.tenant, "reader", "rita")
        return {d["id"]: d for d in (await self.app.call("GET", "/v1/documents?limit=200", key)).data}

    async def answer(self, question):
        key = await self.app.key(self.tenant, "reader", "rita")
        body = {"corpus_id": "c", "query": question, "top_k": 1}
        passages = (await self.app.call("POST", "/v1/retrieve", key, json=body)).data["passages"]
        return passages[0]["text"] if passages else ""

    async def events(self):
        async with self.app.platform.facades["documents"].db.tenant(self.tenant, "read") as tx:
            rows = await tx.fetch("SELECT event_type, actor_id FROM audit.events ORDER BY id")
        return [(row["event_type"], row["actor_id"]) for row in rows]


def counts(result):
    return {name: result[name] for name in ("new", "changed", "removed", "unchanged", "failed")}


def of(new=0, changed=0, removed=0, unchanged=0, failed=0):
    return {
        "new": new, "changed": changed, "removed": removed, "unchanged": unchanged, "failed": failed,
    }  # fmt: skip


@pytest.fixture
def source(app, tmp_path, request):
    root = tmp_path / "files"
    (root / "deep").mkdir(parents=True)
    (root / "gates.md").write_text("The harbour gate opens at seven.")
    (root / "deep" / "castle.txt").write_text("The castle gate opens at nine.")
    (root / "Grüße an alle.md").write_text("Das Stadttor öffnet um acht.")
    name = f"s{abs(hash(request.node.name)) % 10**8}"
    return Source(app, root, name)


async def test_a_folder_is_kept_in_step_through_change_rename_and_deletion(source):
    await source.add()
    assert counts(await source.sync()) == of(new=3)
    documents = await source.documents()
    assert {f"{source.name}:gates.md", f"{source.name}:deep:castle.txt"} < set(documents)
    assert {d["status"] for d in documents.values()} == {"succeeded"}
    assert "seven" in await source.answer("When does the harbour gate open?")
    assert counts(await source.sync()) == of(unchanged=3)

    (source.root / "gates.md").write_text("The harbour gate opens at six..")
    (source.root / "deep" / "castle.txt").rename(source.root / "castle.txt")
    (source.root / "Grüße an alle.md").unlink()
    assert counts(await source.sync()) == of(new=1, changed=1, removed=2)
    assert set(await source.documents()) == {f"{source.name}:gates.md", f"{source.name}:castle.txt"}
    assert "six" in await source.answer("When does the harbour gate open?")
    assert "nine" in await source.answer("When does the castle gate open?")
    row = await source.row()
    assert (row["outcome"], row["reason"]) == ("succeeded", None)
    assert row["result"] == "1 new, 1 changed, 2 removed, 0 unchanged, 0 failed"


async def test_a_change_that_keeps_size_and_time_is_seen(source):
    await source.add()
    await source.sync()
    path = source.root / "gates.md"
    before = path.stat()
    path.write_text("The harbour gate opens at eight.")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert counts(await source.sync()) == of(changed=1, unchanged=2)
    path.touch()
    assert counts(await source.sync()) == of(unchanged=3)


async def test_a_folder_that_is_away_or_empty_deletes_nothing(source):
    await source.add()
    await source.sync()
    known = set(await source.documents())
    moved = source.root.rename(source.root.with_name("away"))
    failed = await source.sync()
    assert failed["outcome"] == "failed"
    assert "can't be listed" in failed["reason"]
    source.root.mkdir()
    empty = await source.sync()
    assert "nothing was deleted" in empty["reason"]
    assert set(await source.documents()) == known
    source.root.rmdir()
    moved.rename(source.root)
    assert counts(await source.sync()) == of(unchanged=3)


async def test_a_source_may_become_empty_when_it_was_added_so(source):
    await source.add(allow_empty=True)
    await source.sync()
    shutil.rmtree(source.root)
    source.root.mkdir()
    assert counts(await source.sync()) == of(removed=3)
    assert await source.documents() == {}


async def test_what_is_no_document_is_named_and_read_once(source):
    (source.root / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    (source.root / "engine.bin").write_bytes(b"\x7fELF" + bytes(64))
    (source.root / ".secret.md").write_text("never")
    await source.add()
    said = await source.sync_said()
    assert counts(said.results[-1]) == of(new=3)
    assert said.results[-1]["skipped"] == 2
    assert any(line.startswith("skipped photo.png: ") for line in said.said)
    again = await source.sync()
    assert (again["unchanged"], again["skipped"]) == (3, 2)
    (source.root / "gates.md").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    assert (await source.sync())["skipped"] == 3
    assert f"{source.name}:gates.md" not in await source.documents()


async def test_a_document_that_was_deleted_or_failed_comes_back(app, source):
    await source.add()
    await source.sync()
    admin = await app.key(source.tenant, "admin", "cli")
    gone = f"{source.name}:gates.md"
    assert (await app.call("DELETE", f"/v1/documents/{gone}", admin)).status in (200, 204)
    assert counts(await source.sync()) == of(changed=1, unchanged=2)
    async with app.platform.facades["documents"].db.tenant(source.tenant) as tx:
        await tx.execute("UPDATE documents.documents SET status = 'failed' WHERE id = $1", gone)
    assert counts(await source.sync()) == of(changed=1, unchanged=2)
    assert {d["status"] for d in (await source.documents()).values()} == {"succeeded"}


async def test_documents_of_others_are_never_touched(app, source):
    key = await app.key(source.tenant, "editor", "ann")
    await app.call("POST", "/v1/corpora", key, json={"id": "c", "name": "c", "provider_config_json": {}})
    body = {"corpus_id": "c", "text": "hers", "document_id": f"{source.name}:gates.md"}
    await app.call("POST", "/v1/documents/text", key, json=body)
    await app.ingested(key, body["document_id"])
    await source.add()
    said = await source.sync_said()
    assert counts(said.results[-1]) == of(new=2, failed=1)
    assert any("is not of this source" in line for line in said.said)
    await app.command("sources", "remove", name=source.name, documents=True)
    found = await app.call("GET", f"/v1/documents/{body['document_id']}", key)
    assert found.status == 200


async def test_another_tenant_sees_nothing(app, source):
    await source.add()
    await source.sync()
    assert await source.documents(f"other-{source.name}") == {}
    async with app.platform.facades["connectors"].db.tenant(f"other-{source.name}", "read") as tx:
        for table in ("sources", "items"):
            assert await tx.fetch(f"SELECT * FROM connectors.{table}") == []


async def test_two_requests_at_once_are_one_sync(source):
    await source.add()
    both = await asyncio.gather(source.sync_said(), source.sync_said())
    assert [counts(each.results[-1]) for each in both] == [of(new=3), of(new=3)]
    assert sum("is under way" in line for each in both for line in each.said) == 1
    assert [event for event, _ in await source.events()].count("sources.synced") == 1


async def test_the_schedule_syncs_what_is_due_once_and_leaves_the_others(app, source):
    await source.add(every="15m")
    (schedule,) = [s for s in app.platform.parts.registry.schedules if s.name == "connectors.due"]
    await asyncio.gather(schedule.run(), schedule.run())
    for _ in range(100):
        if (await source.row())["outcome"] is not None:
            break
        await asyncio.sleep(0.1)
    row = await source.row()
    assert (row["outcome"], row["counts"]["new"]) == ("succeeded", 3)
    await schedule.run()
    assert [event for event, _ in await source.events()].count("sources.synced") == 1


async def test_a_removed_source_leaves_its_documents_and_one_of_its_name_takes_them_over(app, source):
    await source.add()
    await source.sync()
    await app.command("sources", "remove", name=source.name)
    assert len(await source.documents()) == 3
    (source.root / "gates.md").unlink()
    await source.add()
    assert counts(await source.sync()) == of(removed=1, unchanged=2)
    await app.command("sources", "remove", name=source.name, documents=True)
    assert await source.documents() == {}
    with pytest.raises(Problem, match="does not exist"):
        await app.command("sources", "remove", name=source.name)


async def test_what_happens_is_on_record(app, source):
    await source.add()
    await source.sync()
    await app.command("sources", "remove", name=source.name, documents=True)
    events = await source.events()
    by_source = [event for event, actor in events if actor == f"source:{source.name}"]
    assert by_source == ["documents.ingest.enqueued"] * 3 + ["sources.synced"]
    by_operator = [event for event, actor in events if (actor or "").startswith("operator:")]
    assert [e for e in by_operator if e.startswith("sources.")] == [
        "sources.added", "sources.sync.requested", "sources.removed",
    ]  # fmt: skip
    assert by_operator.count("documents.deleted") == 3


async def test_every_file_is_read_again_when_that_is_wanted(source):
    await source.add()
    await source.sync()
    assert counts(await source.sync(full=True)) == of(unchanged=3)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"option": None}, "path"),
        ({"option": "path"}, "must be written like"),
        ({"option": "path=files"}, "must begin at the root"),
        ({"option": "pth=/srv"}, "did you mean 'path'"),
        ({"every": "5s"}, "1m at least"),
        ({"prefix": "ä"}, "--prefix"),
    ],
)
async def test_a_wrong_source_is_refused_with_the_fix(source, options, reason):
    with pytest.raises(RuntimeError, match="ended with 1") as refused:
        await source.add(**options)
    assert reason in str(refused.value)


async def test_a_connector_that_nobody_offers_and_a_folder_that_is_not_there_are_told_at_once(source):
    with pytest.raises(ProviderError, match="did you mean 'folder'"):
        await source.add(connector="foldr")
    shutil.rmtree(source.root)
    with pytest.raises(ProviderError, match="can't be listed"):
        await source.add()


async def test_doctor_names_the_sources_that_failed(app, source):
    await source.add()
    (advisor,) = [each for each in app.platform.plan.advisors if each.name == "sources"]
    shutil.rmtree(source.root)
    await source.sync()
    (advice,) = await advisor.advise()
    assert source.name in advice.where
    assert "failed" in advice.message
    source.root.mkdir()
    (source.root / "a.md").write_text("The gate opens at ten.")
    assert (await source.sync())["outcome"] == "succeeded"
    assert await advisor.advise() == []
