"""Messages keep the contract of data stores."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from ragwork_agent.sessions.session_store import SessionKey as SessionKey
from ragwork_agent.sessions.session_store import open_turn
from ragwork_hooks.governance import Subject
from ragwork_hooks.storage import Row, Transaction
from ragwork_testkit.data_store import DataStoreContract, Key

COPIES = """SELECT (SELECT count(*) FROM agent.sessions) + (SELECT count(*) FROM agent.messages)
    + (SELECT count(*) FROM agent.audio) + (SELECT count(*) FROM ragwork.blobs WHERE key LIKE 'audio/%')"""


class TestMessageStore(DataStoreContract):
    store = "messages"
    key = ("user_id", "session_id", "turn", "role")
    settings = {"TTS_PROVIDER": "fake"}  # noqa: RUF012  # a kit's setting

    async def add(self, tenant: str, user: str, count: int) -> None:
        key = await self.app.key(tenant=tenant, role="editor", user=user)
        await self.app.call("POST", "/v1/corpora", key, json={"id": "c", "name": "c"})
        for _ in range(count):
            await self.ask(key, uuid4().hex, audio=True)

    async def ask(self, key: str, session_id: str, **more: Any) -> None:
        body = {"session_id": session_id, "corpus_id": "c", "message": "Is it?", **more}
        answer = await self.app.call(
            "POST", "/v1/run", key, json=body, headers={"Accept": "application/json"}
        )
        assert answer.status == 200, answer.text

    async def listed(self, tenant: str, user: str) -> set[Key]:
        key = await self.app.key(tenant=tenant, role="editor", user=user)
        shown: set[Key] = set()
        for session in (await self.app.call("GET", "/v1/sessions?limit=200", key)).data:
            messages = await self.app.call("GET", f"/v1/sessions/{session['id']}/messages?limit=200", key)
            shown |= {(user, session["id"], m["turn"], m["role"]) for m in messages.data}
        return shown

    async def age(self, tx: Transaction, user: str, days: int) -> None:
        await tx.execute(
            "UPDATE agent.messages SET created_at = created_at - make_interval(days => $2) WHERE user_id = $1",
            user,
            days,
        )

    async def copies(self, tx: Transaction) -> int:
        count: int = await tx.fetchval(COPIES)
        return count

    def subject_of(self, row: Row) -> Subject:
        return Subject(kind="session", id=f"{row['user_id']}/{row['session_id']}")


@pytest.fixture
async def kit(platform: Any) -> AsyncIterator[TestMessageStore]:
    """A store of a platform of its own."""
    kit = TestMessageStore()
    async with platform(settings=kit.settings) as app:
        kit.use(app)
        yield kit


async def two_turns(kit: TestMessageStore) -> None:
    """Ann's session ``s``: the first turn 40 days old, the second of now and spoken."""
    await kit.add("t1", "ann", 0)
    key = await kit.app.key(tenant="t1", user="ann")
    await kit.ask(key, "s")
    async with kit.app.platform.parts.db.tenant("t1") as tx:
        await kit.age(tx, "ann", 40)
    await kit.ask(key, "s", audio=True)


async def test_a_session_that_goes_on_loses_its_old_messages_only(kit: TestMessageStore) -> None:
    await two_turns(kit)
    async with kit.app.platform.parts.db.tenant("t1") as tx:
        assert await kit.data.expire(tx, timedelta(days=30)) == 2
        assert await kit.data.expire(tx, timedelta(days=30)) == 0
    assert await kit.listed("t1", "ann") == {("ann", "s", 2, "user"), ("ann", "s", 2, "assistant")}
    key = await kit.app.key(tenant="t1", user="ann")
    await kit.ask(key, "s")
    assert {turn for _, _, turn, _ in await kit.listed("t1", "ann")} == {2, 3}


async def until_one_waits(kit: TestMessageStore) -> None:
    """Until some statement of the database waits for another's lock."""
    connection = await asyncpg.connect(kit.app.database_url)
    for _ in range(1000):
        if await connection.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
            break
        await asyncio.sleep(0.01)
    else:
        pytest.fail("nobody waits")
    await connection.close()


async def test_a_question_that_comes_while_its_session_expires_stays(kit: TestMessageStore) -> None:
    """The session looks empty to a statement that began before the question was committed."""
    await kit.add("t1", "ann", 0)
    key = await kit.app.key(tenant="t1", user="ann")
    await kit.ask(key, "s")
    db = kit.app.platform.parts.db
    async with db.tenant("t1") as tx:
        await kit.age(tx, "ann", 40)

    async def expire() -> int:
        async with db.tenant("t1") as tx:
            return await kit.data.expire(tx, timedelta(days=30))

    async with db.tenant("t1") as tx:
        asking = SessionKey(user_id="ann", session_id="s")
        await open_turn(tx, asking, corpus_ids=["c"], question="Now?", request_id="r", history=0)
        expiring = asyncio.create_task(expire())
        await until_one_waits(kit)
    assert await expiring == 2
    assert await kit.listed("t1", "ann") == {("ann", "s", 2, "user")}


async def test_the_same_session_id_of_another_user_is_another_subject(kit: TestMessageStore) -> None:
    await kit.add("t1", "ann", 0)
    for user in ("ann", "bob"):
        await kit.ask(await kit.app.key(tenant="t1", user=user), "s")
    async with kit.app.platform.parts.db.tenant("t1") as tx:
        assert await kit.data.erase(tx, Subject(kind="session", id="ann/s")) == 2
    assert await kit.listed("t1", "ann") == set()
    assert len(await kit.listed("t1", "bob")) == 2
