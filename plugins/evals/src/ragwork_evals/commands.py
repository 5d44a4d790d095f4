"""``ragwork eval``: a file of questions, asked with one configuration or two."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import orjson
from ragwork_hooks.commands import Command, CommandContext, Option
from ragwork_hooks.errors import Problem, ProviderError
from ragwork_toolkit.command_users import USER, asking_user

from ragwork_evals.evaluation import AskedQuestion, EvalSettings, Evaluator, QuestionResult
from ragwork_evals.metrics import Difference, GroundTruth, averages, compare
from ragwork_evals.schemas import MAX_QUESTIONS

_KEYS: Final = ("question", "documents", "text")


class BadQuestions(Exception):
    """The file, or an option, can't be used. The text says where and what to write instead."""


async def evaluate(context: CommandContext) -> int:
    """Print the metrics, and with ``--against`` or ``--against-corpus`` what is sure of the difference."""
    try:
        questions = await asyncio.to_thread(_questions, Path(context.text("file")))
        asked = [(context.text("corpus"), _settings(context, "option"))]
        if any(context.options[name] for name in ("against", "against-corpus", "without-reranker")):
            other = context.options["against-corpus"] or context.text("corpus")
            prefix = str(context.options["against-prefix"] or "")
            second = attrs.evolve(_settings(context, "against"), prefix=prefix)
            asked.append((str(other), attrs.evolve(second, rerank=not context.options["without-reranker"])))
        results = await _asked(context, questions, asked)
    except (BadQuestions, Problem, ProviderError, OSError) as error:
        context.console.result({"error": str(error)}, f"error: {error}")
        return 1
    metrics = [averages([each.scores for each in result]) for result in results]
    data: dict[str, object] = {"questions": len(questions), "metrics": metrics[0]}
    lines = [f"{len(questions)} questions", *(f"  {name}: {value:.3f}" for name, value in metrics[0].items())]
    if len(results) > 1:
        differences = await asyncio.to_thread(compare, *map(_by_question, results))
        data["against"] = metrics[1]
        data["differences"] = [{**attrs.asdict(each), "verdict": each.verdict} for each in differences]
        lines += ["against the second:", *map(_line, differences)]
    context.console.result(data, "\n".join(lines))
    return 0


async def _asked(
    context: CommandContext, questions: Sequence[AskedQuestion], asked: Sequence[tuple[str, EvalSettings]]
) -> Sequence[Sequence[QuestionResult]]:
    evaluator = Evaluator(context.services)
    principal = await asking_user(context)
    for corpus_id, settings in asked:
        await evaluator.check(principal.tenant_id, corpus_id, settings)
    results = []
    async with context.console.progress(len(questions) * len(asked), "eval", "question") as progress:

        async def advance(more: int) -> None:
            progress(more)

        for corpus_id, settings in asked:
            results.append(await evaluator.ask(principal, corpus_id, questions, settings, advance))
    return results


def _settings(context: CommandContext, options: str) -> EvalSettings:
    given = context.options[options]
    return EvalSettings(
        top_k=context.integer("top-k"),
        options=dict(_option(each) for each in given) if isinstance(given, tuple) else {},
        answers=bool(context.options["answers"]),
    )


def _option(text: str) -> tuple[str, object]:
    """``lexical_weight=0.5``; a value that is no JSON is a text."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise BadQuestions(f"{text!r} is no option; write it like lexical_weight=0.5")
    try:
        return name, orjson.loads(value)
    except orjson.JSONDecodeError:
        return name, value


def _questions(path: Path) -> Sequence[AskedQuestion]:
    """Of JSON Lines. Raises ``BadQuestions`` naming the line."""
    questions: list[AskedQuestion] = []
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), 1):
        if line.strip():
            questions.append(_question(line, f"{path}:{number}", len(questions) + 1))
    if not 1 <= len(questions) <= MAX_QUESTIONS:
        raise BadQuestions(f"{path} has {len(questions)} questions, 1 to {MAX_QUESTIONS} are taken")
    return questions


def _question(line: str, where: str, n: int) -> AskedQuestion:
    try:
        value: Any = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadQuestions(f"{where}: not valid JSON: {error}") from None
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("question"), str)
        or not value["question"].strip()
    ):
        raise BadQuestions(f'{where}: must be an object with a "question", and "documents" or "text"')
    unknown = value.keys() - set(_KEYS)
    if unknown:
        raise BadQuestions(f"{where}: unknown key {min(unknown)!r}; known are {', '.join(_KEYS)}")
    documents, text = value.get("documents") or [], value.get("text") or ""
    if not isinstance(documents, list) or not all(isinstance(each, str) for each in documents):
        raise BadQuestions(f"{where}: documents must be a list of ids")
    if not isinstance(text, str):
        raise BadQuestions(f"{where}: text must be a text")
    return AskedQuestion(
        n=n, question=value["question"], expected=GroundTruth(documents=documents, text=text)
    )


def _by_question(results: Sequence[QuestionResult]) -> Mapping[int, Mapping[str, float]]:
    return {result.n: result.scores for result in results}


def _line(difference: Difference) -> str:
    return (
        f"  {difference.metric}: {difference.second:.3f} ({difference.difference:+.3f}, between {difference.low:+.3f}"
        f" and {difference.high:+.3f} with 95 % confidence): {difference.verdict}"
    )


COMMAND: Final = Command(
    path=("eval",),
    help="Ask a corpus questions whose answers are known, with one configuration or two",
    options=(
        Option(
            name="file",
            help="JSON Lines: question, and documents (ids) or text (what is to be found); neither for what is lacking",
            type="path",
            positional=True,
            required=True,
        ),
        Option(name="tenant", help="tenant id", required=True, type="tenant"),
        Option(name="corpus", help="corpus id", required=True),
        USER,
        Option(
            name="top-k",
            help="passages for each question",
            type="integer",
            default="5",
            minimum=1,
            maximum=50,
        ),
        Option(name="option", help="option of the retriever: lexical_weight=0.5", repeated=True),
        Option(name="answers", help="have the questions answered, too", flag=True),
        Option(name="against", help="option of the second configuration", repeated=True),
        Option(name="against-corpus", help="corpus of the second configuration"),
        Option(name="without-reranker", help="leave the reranker out of the second configuration", flag=True),
        Option(name="against-prefix", help="begins the ids of the second corpus' documents"),
    ),
    run=evaluate,
    audit_event=None,
)
