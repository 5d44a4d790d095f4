"""The routes of feedback: given by whoever asked, listed by administrators."""

from typing import Final

from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action
from ragwork_hooks.http import AnyRoute, Empty, Page, Request, Response
from ragwork_toolkit.paging import PageQuery, page_of
from ragwork_toolkit.routes import read_route, write_route
from ragwork_toolkit.rows import from_row

from ragwork_evals.eval_routes import READ
from ragwork_evals.feedback import Feedback
from ragwork_evals.schemas import FeedbackRequest, FeedbackResponse

GIVE: Final = Action(name="feedback.give", role=Role.READER)


def routes(feedback: Feedback) -> tuple[AnyRoute, ...]:
    """Both of them."""

    async def give(request: Request[FeedbackRequest, Empty]) -> Response:
        request_id = request.path["request_id"]
        row = await feedback.put(request.tx, request.principal, request_id, request.body)
        note = AuditDetails(resource_type="run", resource_id=request_id)
        return Response(data=from_row(FeedbackResponse, row), status=201, audit=note)

    async def list_(request: Request[Empty, PageQuery]) -> Page[FeedbackResponse]:
        query = request.query
        rows = await feedback.page(request.tx, query.limit + 1, query.offset)
        return page_of([from_row(FeedbackResponse, row) for row in rows], query)

    return (
        write_route(
            name="evals.feedback.give", method="POST", path="/v1/runs/{request_id}/feedback",
            summary="Say what you think of an answer to you", handler=give, action=GIVE,
            audit_event="evals.feedback.given", idempotency="accepted", response=FeedbackResponse,
            body=FeedbackRequest, status=201, errors=("NOT_FOUND",),
        ),
        read_route(
            name="evals.feedback.list", path="/v1/admin/evals/feedback", summary="What people said of answers",
            handler=list_, action=READ, response=Page[FeedbackResponse], query=PageQuery,
        ),
    )  # fmt: skip
