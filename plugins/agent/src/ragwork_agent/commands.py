"""The command ``ragwork ask``: one question from the terminal, through the same run as the API's."""

from uuid import uuid4

import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.commands import Command, CommandContext, Option
from ragwork_hooks.errors import Problem, ProviderError
from ragwork_hooks.fields import is_visible
from ragwork_toolkit.command_users import USER, asking_user

from ragwork_agent.run.run import Run, RunInput
from ragwork_agent.run.runtime import AgentRuntime
from ragwork_agent.run.sanitizing import clean
from ragwork_agent.schemas import Citation, RunAnswer

TOP_K = 5


async def ask(context: CommandContext) -> int:
    """Print the answer as it comes and its citations below it; 1 when the run fails."""
    runtime = AgentRuntime.of(context.services, context.config)
    try:
        asked = await _asked(context)
        async with context.services.db.tenant(context.text("tenant")) as tx:
            await context.record(tx, AuditDetails(resource_type="run", resource_id=asked.request_id))
        run = Run(runtime, asked)
        async for frame in run.frames():
            if frame.type == "token.delta":
                context.console.write(str(frame.data["delta"]))
    except (Problem, ProviderError) as error:
        context.console.say(f"\n{error}")
        return 1
    finally:
        await runtime.tasks.finish()
    if run.answer is None:
        raise RuntimeError("the run ended without an answer")
    context.console.result(attrs.asdict(run.answer), _below(run.answer))
    if run.answer.notice is not None:
        context.console.say(f"\n{run.answer.notice}")
    return 0


async def _asked(context: CommandContext) -> RunInput:
    if not is_visible(context.text("question")):
        raise Problem("REQUEST_VALIDATION_ERROR", "the question is blank: it has no visible character")
    request_id = uuid4().hex
    return RunInput(
        principal=await asking_user(context),
        request_id=request_id,
        session_id=f"ask-{request_id}",
        corpus_ids=(context.text("corpus"),),
        message=context.text("question"),
        top_k=TOP_K,
    )


def _below(answer: RunAnswer) -> str:
    if not answer.citations:
        return ""
    return "\n" + "\n".join(_line(citation) for citation in answer.citations)


def _line(citation: Citation) -> str:
    quote = " ".join(clean(citation.quote).split())
    return f"[{citation.n}] {clean(citation.document_id)} ({clean(citation.source)}): \u201c{quote}\u201d"


COMMAND = Command(
    path=("ask",),
    help="Ask a corpus one question.",
    options=(
        Option(name="question", help="what to ask", required=True, positional=True),
        Option(name="tenant", help="whose corpus", required=True, type="tenant"),
        Option(name="corpus", help="which corpus", required=True),
        USER,
    ),
    run=ask,
    audit_event="run.invoked",
)
