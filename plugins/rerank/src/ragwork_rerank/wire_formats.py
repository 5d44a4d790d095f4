"""What services of each wire format are asked, and how their answers are read."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs


@attrs.frozen(kw_only=True)
class WireFormat:
    """Where a service takes texts, and what it calls things. ``items`` names the list in its answer, ``None`` for an
    answer that is the list itself.
    """

    path: str
    texts: str
    items: str | None
    score: str
    more: Mapping[str, object] = attrs.field(factory=dict)

    def request(self, question: str, texts: Sequence[str], model: str | None) -> bytes:
        """The body that asks for the scores of ``texts``."""
        body: dict[str, object] = {"query": question, self.texts: list(texts), **self.more}
        if model is not None:
            body["model"] = model
        return json.dumps(body, ensure_ascii=False).encode()

    def scores(self, answer: bytes, count: int) -> list[float]:
        """The finite scores of ``count`` texts in their order, as the service gives them.

        Raises one of the builtin errors for an answer of another shape, and for one that leaves out or repeats a text.
        """
        found: Any = json.loads(answer)
        scores: dict[int, float] = {}
        for item in found if self.items is None else found[self.items]:
            index, score = item["index"], float(item[self.score])
            if (
                type(index) is not int
                or not 0 <= index < count
                or index in scores
                or not math.isfinite(score)
            ):
                raise ValueError("an index or a score that can't be")
            scores[index] = score
        if len(scores) != count:
            raise ValueError("a text without a score")
        return [scores[index] for index in range(count)]


FORMATS: Final[Mapping[str, WireFormat]] = {
    "cohere": WireFormat(path="/v2/rerank", texts="documents", items="results", score="relevance_score"),
    "jina": WireFormat(
        path="/v1/rerank",
        texts="documents",
        items="results",
        score="relevance_score",
        more={"return_documents": False},
    ),
    "tei": WireFormat(
        path="/rerank",
        texts="texts",
        items=None,
        score="score",
        more={"raw_scores": False, "return_text": False, "truncate": True},
    ),
}
#: What reading a wrong answer raises: of JSON, of shapes, and of numbers too large.
WRONG_SHAPE: Final = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
