"""The routes under ``/v1/admin/evals``: question sets, evaluations, and how two of them differ."""

import asyncio
from typing import Final

from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.http import AnyRoute, Empty, Page, Request, Response
from ragwork_toolkit.paging import PageQuery, page_of
from ragwork_toolkit.routes import read_route, write_route
from ragwork_toolkit.rows import from_object, from_row

from ragwork_evals.eval_runs import EvalRuns
from ragwork_evals.evaluation import EvalSettings, Evaluator, check_asker
from ragwork_evals.metrics import compare
from ragwork_evals.question_sets import QuestionSets
from ragwork_evals.schemas import (
    ComparisonResponse,
    DifferenceResponse,
    EvalRequest,
    EvalResponse,
    QuestionResponse,
    QuestionSetRequest,
    QuestionSetResponse,
    ResultResponse,
)

READ: Final = Action(name="eval.read", role=Role.ADMIN)
WRITE: Final = Action(name="eval.write", role=Role.ADMIN)
MAX_BODY: Final = 16 * 1024 * 1024
_SETS: Final = "/v1/admin/evals/sets"
_EVALS: Final = "/v1/admin/evals"


class EvalApi:
    """Handlers and declarations."""

    def __init__(self, sets: QuestionSets, runs: EvalRuns, evaluator: Evaluator) -> None:
        self._sets = sets
        self._runs = runs
        self._evaluator = evaluator

    async def create_set(self, request: Request[QuestionSetRequest, Empty]) -> Response:
        row = await self._sets.create(request.tx, request.principal.user_id, request.body)
        note = AuditDetails(resource_type="question_set", resource_id=row["id"])
        return Response(data=from_row(QuestionSetResponse, row), status=201, audit=note)

    async def list_sets(self, request: Request[Empty, PageQuery]) -> Page[QuestionSetResponse]:
        query = request.query
        rows = await self._sets.page(request.tx, query.limit + 1, query.offset)
        return page_of([from_row(QuestionSetResponse, row) for row in rows], query)

    async def questions(self, request: Request[Empty, PageQuery]) -> Page[QuestionResponse]:
        query, set_id = request.query, request.path["set_id"]
        await self._sets.get(request.tx, set_id)
        rows = await self._sets.questions(request.tx, set_id, query.limit + 1, query.offset)
        return page_of([from_row(QuestionResponse, row) for row in rows], query)

    async def delete_set(self, request: Request[Empty, Empty]) -> None:
        await self._sets.delete(request.tx, request.path["set_id"])

    async def create(self, request: Request[EvalRequest, Empty]) -> Response:
        body, principal = request.body, request.principal
        check_asker(principal)
        settings = from_object(EvalSettings, body, options=body.options or {})
        await self._sets.get(request.tx, body.set_id)
        await self._evaluator.check(principal.tenant_id, body.corpus_id, settings)
        row = await self._runs.create(request.tx, principal, body.set_id, body.corpus_id, settings)
        note = AuditDetails(resource_type="eval", resource_id=row["id"])
        return Response(data=from_row(EvalResponse, row), status=202, audit=note)

    async def list_(self, request: Request[Empty, PageQuery]) -> Page[EvalResponse]:
        query = request.query
        rows = await self._runs.page(request.tx, query.limit + 1, query.offset)
        return page_of([from_row(EvalResponse, row) for row in rows], query)

    async def get(self, request: Request[Empty, Empty]) -> EvalResponse:
        return from_row(EvalResponse, await self._runs.get(request.tx, request.path["eval_id"]))

    async def results(self, request: Request[Empty, PageQuery]) -> Page[ResultResponse]:
        query, run_id = request.query, request.path["eval_id"]
        await self._runs.get(request.tx, run_id)
        rows = await self._runs.results(request.tx, run_id, query.limit + 1, query.offset)
        return page_of([from_row(ResultResponse, row) for row in rows], query)

    async def compare(self, request: Request[Empty, Empty]) -> ComparisonResponse:
        """Computed off the event loop: a bootstrap takes its time."""
        scores = []
        for name in ("eval_id", "other_id"):
            row = await self._runs.get(request.tx, request.path[name])
            scores.append(await self._runs.scores(request.tx, row["id"]))
        differences = await asyncio.to_thread(compare, *scores)
        return ComparisonResponse(metrics=[from_object(DifferenceResponse, each) for each in differences])

    async def delete(self, request: Request[Empty, Empty]) -> None:
        await self._runs.delete(request.tx, request.path["eval_id"])

    def routes(self) -> tuple[AnyRoute, ...]:
        return (
            write_route(
                name="evals.sets.create", method="POST", path=_SETS, summary="Keep a set of questions",
                handler=self.create_set, action=WRITE, audit_event="evals.set.created", idempotency="accepted",
                response=QuestionSetResponse, body=QuestionSetRequest, body_limit=MAX_BODY, status=201,
                errors=("CONFLICT",),
            ),
            read_route(
                name="evals.sets.list", path=_SETS, summary="Question sets, the latest first",
                handler=self.list_sets, action=READ, response=Page[QuestionSetResponse], query=PageQuery,
            ),
            read_route(
                name="evals.sets.questions", path=f"{_SETS}/{{set_id}}/questions", summary="The questions of a set",
                handler=self.questions, action=READ, response=Page[QuestionResponse], query=PageQuery,
                errors=("NOT_FOUND",),
            ),
            write_route(
                name="evals.sets.delete", method="DELETE", path=f"{_SETS}/{{set_id}}",
                summary="Delete a question set with its evaluations", handler=self.delete_set, action=WRITE,
                audit_event="evals.set.deleted", idempotency="accepted", response=None, status=204,
                errors=("NOT_FOUND",),
            ),
            write_route(
                name="evals.create", method="POST", path=_EVALS, summary="Ask a corpus the questions of a set",
                handler=self.create, action=WRITE, audit_event="evals.run.enqueued", idempotency="accepted",
                response=EvalResponse, body=EvalRequest, status=202, errors=("CONFLICT", "NOT_FOUND"),
            ),
            read_route(
                name="evals.list", path=_EVALS, summary="Evaluations, the latest first", handler=self.list_,
                action=READ, response=Page[EvalResponse], query=PageQuery,
            ),
            read_route(
                name="evals.get", path=f"{_EVALS}/{{eval_id}}", summary="One evaluation and its metrics",
                handler=self.get, action=READ, response=EvalResponse, errors=("NOT_FOUND",),
            ),
            read_route(
                name="evals.results", path=f"{_EVALS}/{{eval_id}}/results", summary="What came of each question",
                handler=self.results, action=READ, response=Page[ResultResponse], query=PageQuery,
                errors=("NOT_FOUND",),
            ),
            read_route(
                name="evals.compare", path=f"{_EVALS}/{{eval_id}}/compare/{{other_id}}",
                summary="How a second evaluation differs, and how sure that is", handler=self.compare, action=READ,
                response=ComparisonResponse, errors=("NOT_FOUND",),
            ),
            write_route(
                name="evals.delete", method="DELETE", path=f"{_EVALS}/{{eval_id}}", summary="Delete an evaluation",
                handler=self.delete, action=WRITE, audit_event="evals.run.deleted", idempotency="accepted",
                response=None, status=204, errors=("NOT_FOUND",),
            ),
        )  # fmt: skip
