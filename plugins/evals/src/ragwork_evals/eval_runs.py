"""Evaluations that are stored: asked for in a request, made by a job, compared afterwards."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

import attrs
from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.errors import Problem, not_found
from ragwork_hooks.jobs import Job, JobKind
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Row, Transaction

from ragwork_evals.evaluation import AskedQuestion, EvalSettings, Evaluator, QuestionResult
from ragwork_evals.metrics import GroundTruth, averages
from ragwork_evals.schemas import MAX_QUESTIONS

JOB_KIND: Final = "evals.run"
#: Evaluations that a tenant may keep, and that may wait or run.
MAX_KEPT: Final = 1_000
MAX_UNDER_WAY: Final = 20

_COLUMNS: Final = (
    "id, set_id, corpus_id, settings, status, failure_reason, done, metrics, created_at, completed_at"
)
# A tenant's additions take turns, so that the bounds hold.
_TURN: Final = "SELECT pg_advisory_xact_lock(hashtextextended('evals.runs/' || ragwork.tenant(), 0))"
_COUNTS: Final = """
SELECT count(*) AS kept, count(*) FILTER (WHERE status IN ('queued', 'running')) AS under_way
FROM evals.runs WHERE tenant_id = ragwork.tenant()
"""
_INSERT: Final = f"""
INSERT INTO evals.runs (tenant_id, id, set_id, corpus_id, settings, asked_by)
VALUES (ragwork.tenant(), $1, $2, $3, $4, $5) RETURNING {_COLUMNS}
"""  # noqa: S608  # a constant
_CLAIM: Final = """
UPDATE evals.runs SET status = 'running', done = 0
WHERE tenant_id = ragwork.tenant() AND id = $1 AND status IN ('queued', 'running')
RETURNING set_id, corpus_id, settings, asked_by
"""
_QUESTIONS: Final = """
SELECT n, question, documents, text FROM evals.questions
WHERE tenant_id = ragwork.tenant() AND set_id = $1 ORDER BY n LIMIT $2
"""
#: The results of run $1, from the records $2; none when it is gone or settled.
_RESULTS: Final = """
WITH run AS (
    SELECT id FROM evals.runs WHERE tenant_id = ragwork.tenant() AND id = $1 AND status = 'running' FOR UPDATE
)
INSERT INTO evals.results (tenant_id, run_id, n, found, scores)
SELECT ragwork.tenant(), run.id, r.n, ARRAY(SELECT jsonb_array_elements_text(r.found)), r.scores
FROM run CROSS JOIN jsonb_to_recordset($2::jsonb) AS r(n integer, found jsonb, scores jsonb)
"""
_DONE: Final = """
UPDATE evals.runs SET status = 'succeeded', metrics = $2, completed_at = now()
WHERE tenant_id = ragwork.tenant() AND id = $1 AND status = 'running'
"""


class EvalRuns:
    """Keeps evaluations, and makes those that are queued."""

    def __init__(self, services: Services, evaluator: Evaluator) -> None:
        self._services = services
        self._evaluator = evaluator

    def kind(self) -> JobKind:
        """One at a time for each tenant: an evaluation is never urgent."""
        return JobKind(name=JOB_KIND, run=self.run, on_dead=self.dead, concurrency=1)

    async def create(
        self, tx: Transaction, principal: Principal, set_id: str, corpus_id: str, settings: EvalSettings
    ) -> Row:
        """Queue one. Raises ``Problem`` 409 when the tenant has as many as it may."""
        await tx.execute(_TURN)
        counts = await tx.fetchrow(_COUNTS)
        if counts is not None and counts["under_way"] >= MAX_UNDER_WAY:
            raise Problem("CONFLICT", f"{MAX_UNDER_WAY} evaluations are under way; wait until one is done")
        if counts is not None and counts["kept"] >= MAX_KEPT:
            raise Problem("CONFLICT", f"the tenant keeps {MAX_KEPT} evaluations; delete one first")
        run = await tx.fetchrow(
            _INSERT, uuid4().hex, set_id, corpus_id, attrs.asdict(settings), _asker(principal)
        )
        if run is None:
            raise RuntimeError("an insert gave no row")
        await self._services.jobs.enqueue(tx, JOB_KIND, {"run_id": run["id"]})
        return run

    async def get(self, tx: Transaction, run_id: str) -> Row:
        """Raises ``Problem`` 404."""
        row = await tx.fetchrow(
            f"SELECT {_COLUMNS} FROM evals.runs WHERE tenant_id = ragwork.tenant() AND id = $1",  # noqa: S608
            run_id,
        )
        if row is None:
            raise not_found("evaluation", run_id)
        return row

    async def page(self, tx: Transaction, limit: int, offset: int) -> Sequence[Row]:
        """The latest first."""
        return await tx.fetch(
            f"""SELECT {_COLUMNS} FROM evals.runs WHERE tenant_id = ragwork.tenant()
            ORDER BY created_at DESC, id LIMIT $1 OFFSET $2""",  # noqa: S608  # a constant
            limit,
            offset,
        )

    async def results(self, tx: Transaction, run_id: str, limit: int, offset: int) -> Sequence[Row]:
        """In the order of the questions."""
        return await tx.fetch(
            """SELECT r.n, q.question, r.found, r.scores FROM evals.results r
            JOIN evals.runs e ON e.tenant_id = r.tenant_id AND e.id = r.run_id
            JOIN evals.questions q ON q.tenant_id = r.tenant_id AND q.set_id = e.set_id AND q.n = r.n
            WHERE r.tenant_id = ragwork.tenant() AND r.run_id = $1 ORDER BY r.n LIMIT $2 OFFSET $3""",
            run_id,
            limit,
            offset,
        )

    async def scores(self, tx: Transaction, run_id: str) -> Mapping[int, Mapping[str, float]]:
        """Question → metric → score."""
        rows = await tx.fetch(
            "SELECT n, scores FROM evals.results WHERE tenant_id = ragwork.tenant() AND run_id = $1", run_id
        )
        return {row["n"]: row["scores"] for row in rows}

    async def delete(self, tx: Transaction, run_id: str) -> None:
        """Also one that is under way: its job writes nothing then. Raises ``Problem`` 404."""
        gone = await tx.fetchval(
            "DELETE FROM evals.runs WHERE tenant_id = ragwork.tenant() AND id = $1 RETURNING id", run_id
        )
        if gone is None:
            raise not_found("evaluation", run_id)

    # --- the job ------------------------------------------------------------------------------------

    async def run(self, job: Job) -> None:
        """Ask every question, then store all results at once: an attempt that died has left nothing."""
        run_id = job.payload["run_id"]
        async with self._services.db.tenant(job.tenant_id) as tx:
            run = await tx.fetchrow(_CLAIM, run_id)
            questions = [] if run is None else await tx.fetch(_QUESTIONS, run["set_id"], MAX_QUESTIONS)
        if run is None:
            return

        async def advance(more: int) -> None:
            async with self._services.db.tenant(job.tenant_id) as tx:
                await tx.execute(
                    "UPDATE evals.runs SET done = done + $2 WHERE tenant_id = ragwork.tenant() AND id = $1",
                    run_id,
                    more,
                )

        principal = _principal(job.tenant_id, run["asked_by"])
        asked = [asked_question(row) for row in questions]
        results = await self._evaluator.ask(
            principal, run["corpus_id"], asked, EvalSettings(**run["settings"]), advance
        )
        async with self._services.db.tenant(job.tenant_id) as tx:
            await tx.execute(_RESULTS, run_id, [_record(result) for result in results])
            await tx.execute(_DONE, run_id, averages([result.scores for result in results]))

    async def dead(self, job: Job, reason: str) -> None:
        """Mark the evaluation failed."""
        async with self._services.db.tenant(job.tenant_id) as tx:
            await tx.execute(
                """UPDATE evals.runs SET status = 'failed', failure_reason = $2, completed_at = now()
                WHERE tenant_id = ragwork.tenant() AND id = $1 AND status IN ('queued', 'running')""",
                job.payload["run_id"],
                reason,
            )


def asked_question(row: Mapping[str, Any]) -> AskedQuestion:
    """A row or record of a question."""
    expected = GroundTruth(documents=row["documents"], text=row["text"])
    return AskedQuestion(n=row["n"], question=row["question"], expected=expected)


def _record(result: QuestionResult) -> dict[str, object]:
    return {"n": result.n, "found": list(result.found), "scores": dict(result.scores)}


def _asker(principal: Principal) -> dict[str, object]:
    """Who asks, as a job needs it: grants are read when it asks."""
    return {
        "user_id": principal.user_id,
        "credential_id": principal.credential_id,
        "kind": principal.kind,
        "role": principal.role.label,
        "groups": sorted(principal.groups),
    }


def _principal(tenant_id: str, asker: Mapping[str, Any]) -> Principal:
    return Principal(
        tenant_id=tenant_id,
        user_id=asker["user_id"],
        credential_id=asker["credential_id"],
        kind=asker["kind"],
        role=Role.parse(asker["role"]),
        groups=frozenset(asker["groups"]),
    )
