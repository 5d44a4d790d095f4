"""Bodies and answers of the routes."""

from datetime import datetime

import attrs
from ragwork_hooks.fields import choice, items, number, text

MAX_QUESTIONS = 2_000
MAX_QUESTION = 2_000
MAX_TEXT = 4_000


@attrs.frozen(kw_only=True)
class QuestionRequest:
    """A question and what it should find. Without documents and text the corpus has no answer to it."""

    #: What is asked. Example: "How many days of leave do I have?"
    question: str = text(min_length=1, max_length=MAX_QUESTION, visible=True)
    #: Documents that answer it. Example: ["leave"]
    documents: list[str] = items(default=attrs.Factory(list), max_items=50, max_length=128)
    #: What a passage and the answer should say. Example: "30 days"
    text: str = text(default="", max_length=MAX_TEXT)


@attrs.frozen(kw_only=True)
class QuestionSetRequest:
    """Questions, or those that people's feedback makes: each run that was rated, with the documents of a good answer,
    or the text that a bad one should have said.
    """

    #: What people call it. Example: "Handbook, spring"
    name: str = text(min_length=1, max_length=200, visible=True)
    #: The questions.
    questions: list[QuestionRequest] = items(default=attrs.Factory(list), max_items=MAX_QUESTIONS)
    #: Whether to add what people said of answers from this corpus; null for no. Example: "c1"
    from_feedback: str | None = text(default=None, min_length=1, max_length=128)


@attrs.frozen(kw_only=True)
class QuestionSetResponse:
    """A question set."""

    #: The set. Example: "5b1f3c584f5e4f4a9a590d5c4a0e6f11"
    id: str
    #: What people call it. Example: "Handbook, spring"
    name: str
    #: How many questions are in it. Example: 120
    questions: int
    #: Who made it. Example: "ada"
    created_by: str
    #: When.
    created_at: datetime


@attrs.frozen(kw_only=True)
class QuestionResponse:
    """A question of a set."""

    #: Its place in the set, from 1. Example: 1
    n: int
    #: What is asked. Example: "How many days of leave do I have?"
    question: str
    #: Documents that answer it. Example: ["leave"]
    documents: list[str]
    #: What a passage and the answer should say. Example: "30 days"
    text: str


@attrs.frozen(kw_only=True)
class EvalRequest:
    """Ask a set's questions of a corpus, as the caller, with settings that the corpus may not have."""

    #: The question set. Example: "5b1f3c584f5e4f4a9a590d5c4a0e6f11"
    set_id: str = text(min_length=1, max_length=128)
    #: The corpus. Example: "c1"
    corpus_id: str = text(min_length=1, max_length=128)
    #: Passages for each question. Example: 5
    top_k: int = number(default=5, ge=1, le=50)
    #: Leave out passages with a lower `relevance`; absent for the corpus' own. Example: 0.25
    min_score: float | None = number(default=None, ge=0, le=1)
    #: Options of the corpus' retriever, instead of its own. Example: {"lexical_weight": 0.5}
    options: dict[str, object] | None = None
    #: Whether the corpus' reranker, if it has one, has its say.
    rerank: bool = True
    #: Begins the ids of the corpus' documents, but not of the set's: of a corpus that holds the same files once more.
    #: Example: "v2:"
    prefix: str = text(default="", max_length=64)
    #: Whether to have the questions answered, too, which takes longer and may cost tokens.
    answers: bool = False


@attrs.frozen(kw_only=True)
class EvalResponse:
    """An evaluation. Every metric is a mean from 0.0 to 1.0 over the questions that it is of."""

    #: The evaluation. Example: "0d5c4a0e6f115b1f3c584f5e4f4a9a59"
    id: str
    #: The question set. Example: "5b1f3c584f5e4f4a9a590d5c4a0e6f11"
    set_id: str
    #: The corpus. Example: "c1"
    corpus_id: str
    #: What it was asked with. Example: {"top_k": 5}
    settings: dict[str, object]
    #: `queued`, `running`, `succeeded` or `failed`. Example: "succeeded"
    status: str
    #: Why it failed; null if it did not. Example: null
    failure_reason: str | None
    #: Questions asked so far. Example: 120
    done: int
    #: `recall`, `ndcg` and `mrr` of retrieval, `empty` of questions without an answer; of answers `holds` (the text),
    #: `cites` (an expected document), `refused` and, of questions without an answer, `refused_lacking`; null before.
    #: Example: {"recall": 0.94, "ndcg": 0.88, "mrr": 0.86}
    metrics: dict[str, float] | None
    #: When it was asked for.
    created_at: datetime
    #: When it ended; null before.
    completed_at: datetime | None


@attrs.frozen(kw_only=True)
class ResultResponse:
    """What came of one question."""

    #: Its place in the set, from 1. Example: 1
    n: int
    #: What was asked. Example: "How many days of leave do I have?"
    question: str
    #: Documents of the passages, best first. Example: ["leave", "holidays"]
    found: list[str]
    #: The metrics of this question. Example: {"recall": 1.0, "ndcg": 1.0, "mrr": 1.0}
    scores: dict[str, float]


@attrs.frozen(kw_only=True)
class DifferenceResponse:
    """A metric of two evaluations, over the questions of both."""

    #: The metric. Example: "recall"
    metric: str
    #: Its mean in the first. Example: 0.91
    first: float
    #: Its mean in the second. Example: 0.94
    second: float
    #: How much more the second has. Example: 0.03
    difference: float
    #: The interval that holds the true difference with 95 % confidence begins here. Example: 0.01
    low: float
    #: It ends here. Example: 0.05
    high: float
    #: `better`, `worse`, or `no difference` when the interval holds zero. Example: "better"
    verdict: str
    #: Questions that both were asked. Example: 120
    questions: int


@attrs.frozen(kw_only=True)
class ComparisonResponse:
    """Two evaluations side by side."""

    #: Every metric of both.
    metrics: list[DifferenceResponse]


@attrs.frozen(kw_only=True)
class FeedbackRequest:
    """What the caller thinks of the answer to a question of theirs; the latest counts."""

    #: Whether the answer was good. Example: "up"
    rating: str = choice("up", "down")
    #: Why. Example: "It cites the old handbook."
    comment: str = text(default="", max_length=MAX_TEXT)
    #: What it should have said. Example: "30 days"
    expected: str = text(default="", max_length=MAX_TEXT)


@attrs.frozen(kw_only=True)
class FeedbackResponse:
    """What somebody thinks of an answer."""

    #: The run. Example: "8c1f3c584f5e4f4a9a590d5c4a0e6f99"
    request_id: str
    #: Whose run. Example: "ada"
    user_id: str
    #: `up` or `down`. Example: "down"
    rating: str
    #: Why. Example: "It cites the old handbook."
    comment: str
    #: What it should have said. Example: "30 days"
    expected: str
    #: When it was said first.
    created_at: datetime
    #: When it last changed.
    updated_at: datetime
