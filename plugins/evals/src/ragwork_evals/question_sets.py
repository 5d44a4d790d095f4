"""Question sets: made of questions that are given, and of what people said of answers."""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import uuid4

from ragwork_hooks.answering import Answering, PastRun
from ragwork_hooks.errors import Problem, not_found
from ragwork_hooks.storage import Row, Transaction

from ragwork_evals.schemas import MAX_QUESTIONS, QuestionRequest, QuestionSetRequest

#: Sets that a tenant may have.
MAX_SETS: Final = 200

_COLUMNS: Final = """s.id, s.name, s.created_by, s.created_at, (
    SELECT count(*) FROM evals.questions q WHERE q.tenant_id = s.tenant_id AND q.set_id = s.id) AS questions"""
# A tenant's additions take turns, so that the bound holds.
_TURN: Final = "SELECT pg_advisory_xact_lock(hashtextextended('evals.question_sets/' || ragwork.tenant(), 0))"
#: A new set, no row when the tenant has $4 of them.
_INSERT: Final = """
INSERT INTO evals.question_sets (tenant_id, id, name, created_by)
SELECT ragwork.tenant(), $1, $2, $3
WHERE (SELECT count(*) FROM evals.question_sets WHERE tenant_id = ragwork.tenant()) < $4 RETURNING id
"""
#: The questions of set $1, in the order of the records $2.
_QUESTIONS: Final = """
INSERT INTO evals.questions (tenant_id, set_id, n, question, documents, text, feedback_user, feedback_request)
SELECT ragwork.tenant(), $1, r.n, r.question, ARRAY(SELECT jsonb_array_elements_text(r.documents)), r.text,
    r.feedback_user, r.feedback_request
FROM jsonb_to_recordset($2::jsonb) AS r(
    n integer, question text, documents jsonb, text text, feedback_user text, feedback_request text)
"""
_FEEDBACK: Final = """
SELECT user_id, request_id, rating, expected FROM evals.feedback WHERE tenant_id = ragwork.tenant()
ORDER BY created_at DESC, user_id, request_id LIMIT $1
"""


class QuestionSets:
    """Works inside the caller's transaction."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering

    async def create(self, tx: Transaction, created_by: str, request: QuestionSetRequest) -> Row:
        """Raises ``Problem`` 422 for a set without a question, 409 when the tenant has as many as it may."""
        records = [_record(question) for question in request.questions]
        if request.from_feedback is not None:
            records += await self._from_feedback(tx, request.from_feedback, MAX_QUESTIONS - len(records))
        if not records:
            raise _without_questions(request.from_feedback)
        await tx.execute(_TURN)
        set_id = await tx.fetchval(_INSERT, uuid4().hex, request.name, created_by, MAX_SETS)
        if set_id is None:
            raise Problem("CONFLICT", f"the tenant has {MAX_SETS} question sets; delete one first")
        await tx.execute(_QUESTIONS, set_id, [{**record, "n": n} for n, record in enumerate(records, 1)])
        return await self.get(tx, set_id)

    async def get(self, tx: Transaction, set_id: str) -> Row:
        """Raises ``Problem`` 404."""
        row = await tx.fetchrow(
            f"SELECT {_COLUMNS} FROM evals.question_sets s WHERE s.tenant_id = ragwork.tenant() AND s.id = $1",  # noqa: S608
            set_id,
        )
        if row is None:
            raise not_found("question set", set_id)
        return row

    async def page(self, tx: Transaction, limit: int, offset: int) -> Sequence[Row]:
        """The latest first."""
        return await tx.fetch(
            f"""SELECT {_COLUMNS} FROM evals.question_sets s WHERE s.tenant_id = ragwork.tenant()
            ORDER BY s.created_at DESC, s.id LIMIT $1 OFFSET $2""",  # noqa: S608  # a constant
            limit,
            offset,
        )

    async def questions(self, tx: Transaction, set_id: str, limit: int, offset: int) -> Sequence[Row]:
        """In their order."""
        return await tx.fetch(
            """SELECT n, question, documents, text FROM evals.questions
            WHERE tenant_id = ragwork.tenant() AND set_id = $1 ORDER BY n LIMIT $2 OFFSET $3""",
            set_id,
            limit,
            offset,
        )

    async def delete(self, tx: Transaction, set_id: str) -> None:
        """With its evaluations. Raises ``Problem`` 404."""
        gone = await tx.fetchval(
            "DELETE FROM evals.question_sets WHERE tenant_id = ragwork.tenant() AND id = $1 RETURNING id",
            set_id,
        )
        if gone is None:
            raise not_found("question set", set_id)

    async def _from_feedback(self, tx: Transaction, corpus_id: str, most: int) -> list[dict[str, object]]:
        """What feedback says of answers from the corpus, the latest first; runs whose session is gone say nothing."""
        rows = await tx.fetch(_FEEDBACK, MAX_QUESTIONS)
        past = await self._answering.past_runs(tx, [(row["user_id"], row["request_id"]) for row in rows])
        records = []
        for row in rows:
            run = past.get((row["user_id"], row["request_id"]))
            if run is not None and corpus_id in run.corpus_ids:
                records.append(_of_feedback(row, run))
        told = [record for record in records if record["documents"] or record["text"]]
        return told[: max(most, 0)]


def _record(question: QuestionRequest) -> dict[str, object]:
    return {"question": question.question, "documents": question.documents, "text": question.text}


def _of_feedback(row: Mapping[str, str], run: PastRun) -> dict[str, object]:
    """A good answer tells its documents, any the text that it should have said."""
    cited = list(dict.fromkeys(citation.document_id for citation in run.citations))
    return {
        "question": run.question,
        "documents": cited if row["rating"] == "up" else [],
        "text": row["expected"],
        "feedback_user": row["user_id"],
        "feedback_request": row["request_id"],
    }


def _without_questions(corpus_id: str | None) -> Problem:
    said = (
        "has no questions"
        if corpus_id is None
        else f"has no questions, and no feedback on answers from corpus {corpus_id!r} says what is right"
    )
    errors = [{"type": "list_length", "loc": ["body", "questions"], "msg": said}]
    return Problem("REQUEST_VALIDATION_ERROR", f"questions {said}", details={"errors": errors})
