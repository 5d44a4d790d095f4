"""The command ``ragwork ask``: one question from the terminal, through the same run as the API's."""

from uuid import uuid4

import attrs
from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.auth import Directory, Principal, Role
from ragwork_hooks.commands import Command, CommandContext, Option
from ragwork_hooks.errors import Problem, ProviderError, not_found
from ragwork_hooks.fields import is_visible

from ragwork_agent.run.run import Run, RunInput
from ragwork_agent.run.runtime import AgentRuntime
from ragwork_agent.run.sanitizing import clean
from ragwork_agent.schemas import Citation, RunAnswer

#: Who asks when ``--user`` names nobody: a reader without groups, who sees what the tenant may see.
ANYBODY = "cli"
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
    return 0


async def _asked(context: CommandContext) -> RunInput:
    if not is_visible(context.text("question")):
        raise Problem("REQUEST_VALIDATION_ERROR", "the question is blank: it has no visible character")
    request_id = uuid4().hex
    return RunInput(
        principal=await _principal(context),
        request_id=request_id,
        session_id=f"ask-{request_id}",
        corpus_ids=(context.text("corpus"),),
        message=context.text("question"),
        top_k=TOP_K,
    )


async def _principal(context: CommandContext) -> Principal:
    """The user with the rights of today; ``ANYBODY`` without ``--user``."""
    tenant_id, user_id = context.text("tenant"), context.options["user"]
    directory = context.services.use_optional(Directory)
    role, groups = Role.READER, frozenset[str]()
    if directory is not None:
        async with context.services.db.tenant(tenant_id, "read") as tx:
            await directory.require_tenant(tx)
            user = await directory.user(tx, user_id) if isinstance(user_id, str) else None
        if user is not None and user.active:
            role, groups = user.role, user.groups
        elif isinstance(user_id, str):
            raise not_found("user", user_id)
    return Principal(
        tenant_id=tenant_id,
        user_id=user_id if isinstance(user_id, str) else ANYBODY,
        credential_id="cli",
        kind="system",
        role=role,
        groups=groups,
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
        Option(name="user", help="whose rights to ask with; a plain reader when not given"),
    ),
    run=ask,
    audit_event="run.invoked",
)
