"""Question sets, evaluations of retrieval and answers, and feedback."""

from collections.abc import Sequence
from pathlib import Path

from ragwork_hooks.answering import Answering
from ragwork_hooks.auth import Directory
from ragwork_hooks.commands import Command
from ragwork_hooks.documents import CorpusSearch, DocumentCatalog
from ragwork_hooks.plugin import Contribution, PluginContext, PluginInfo, hookimpl

from ragwork_evals import feedback_routes
from ragwork_evals.areas import AREAS
from ragwork_evals.commands import COMMAND
from ragwork_evals.eval_routes import EvalApi
from ragwork_evals.eval_runs import EvalRuns
from ragwork_evals.evaluation import Evaluator
from ragwork_evals.feedback import Feedback, FeedbackStore
from ragwork_evals.question_sets import QuestionSets


class EvalsPlugin:
    """Has no settings."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="evals",
            summary="Question sets, evaluations of retrieval and answers, and feedback",
            requires=(Answering, CorpusSearch, DocumentCatalog),
            optional=(Directory,),
            schema="evals",
            migrations=Path(__file__).parent / "migrations",
        )

    @hookimpl
    def ragwork_contribute(self, context: PluginContext[object]) -> Contribution:
        services = context.services
        answering = services.use(Answering)
        evaluator = Evaluator(services)
        runs = EvalRuns(services, evaluator)
        return Contribution(
            areas=AREAS,
            routes=(
                *EvalApi(QuestionSets(answering), runs, evaluator).routes(),
                *feedback_routes.routes(Feedback(answering)),
            ),
            jobs=(runs.kind(),),
            data_stores=(FeedbackStore(),),
        )

    @hookimpl
    def ragwork_commands(self) -> Sequence[Command]:
        return (COMMAND,)


plugin = EvalsPlugin()
