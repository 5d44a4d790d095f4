"""Areas of evals."""

from typing import Final

from ragwork_hooks.http import Area

AREAS: Final = (
    Area(
        name="evals",
        about="Ask sets of questions whose answers are known, and compare what comes of it.",
        rank=24,
        path={
            "set_id": "The question set.",
            "eval_id": "The evaluation.",
            "other_id": "The evaluation that it is compared with.",
            "request_id": "The run, as its answer's request_id names it.",
        },
    ),
)
