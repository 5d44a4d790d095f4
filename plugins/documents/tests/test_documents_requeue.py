"""A document that is queued anew stands as one that was never indexed, but for its generation."""

import pytest

pytestmark = pytest.mark.asyncio(loop_scope="module")

SPENT = """UPDATE documents.documents SET status = 'failed', phase = 'embedding', failure_reason = 'spent', attempt = 3,
    chunks_done = 4, chunks_total = 9, queued_at = now() - interval '1 day', processing_started_at = now(),
    completed_at = now(), updated_at = now() - interval '1 day'"""
STATE = """SELECT status, phase, failure_reason, attempt, chunks_done, chunks_total, queued_at = now() AS queued_now,
    processing_started_at, completed_at, updated_at = now() AS updated_now, generation, last_reindexed_at
    FROM documents.documents WHERE id = 'd1'"""


@pytest.mark.parametrize("reindexed", [True, False])
async def test_all_progress_is_reset_and_only_of_what_is_named_and_ones_own(it, reindexed):
    db = it.app.platform.parts.db
    for tenant in (it.tenant, it.other):
        key = await it.key("ann", tenant=tenant)
        await it.corpus(key)
        for document_id in ("d1", "d2"):
            assert (await it.ingest(key, "text", document_id)).status == 202
            await it.settled(key, document_id)
        async with db.tenant(tenant) as tx:
            await tx.execute(SPENT)
    async with db.tenant(it.tenant) as tx:
        rows = await tx.fetch("SELECT * FROM documents.requeue(ARRAY['d1', 'none'], $1)", reindexed)
        state = dict(await tx.fetchrow(STATE))
        others = await tx.fetch("SELECT status FROM documents.documents WHERE id <> 'd1'")
    async with db.tenant(it.other) as tx:
        others += await tx.fetch("SELECT status FROM documents.documents")
    assert [dict(row) for row in rows] == [{"id": "d1", "generation": 2}]
    assert (state.pop("last_reindexed_at") is not None) is reindexed
    assert state == {
        "status": "queued",
        "phase": "queued",
        "failure_reason": None,
        "attempt": 0,
        "chunks_done": 0,
        "chunks_total": None,
        "queued_now": True,
        "processing_started_at": None,
        "completed_at": None,
        "updated_now": True,
        "generation": 2,
    }
    assert [row["status"] for row in others] == ["failed"] * 3
