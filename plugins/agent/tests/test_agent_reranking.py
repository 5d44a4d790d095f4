"""A run's passages are reranked outside its transactions, and an answer says when they were not."""

from collections.abc import Callable
from typing import Any

import attrs
from ragwork_agent.run.run import Run, RunInput
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.retrieval import Reranking

RERANKING = Reranking(reranker="close", top_n=20, budget_ms=5_000)


def three_passages(world: Any) -> None:
    (found,) = world.found
    world.found = [
        attrs.evolve(found, document_id=name, chunk_id=f"{name}:0", text=f"{found.text} {name}", end=0)
        for name in ("d1", "d2", "d3")
    ]
    world.reranking = RERANKING


async def test_a_run_answers_from_the_best_of_more_candidates_by_the_reranker(
    world: Any, asked: Callable[..., RunInput], collect: Any
) -> None:
    three_passages(world)
    run = Run(world.runtime(), asked(top_k=2))
    frames = await collect(run)
    assert [query.top_k for query in world.queries] == [20]
    assert [p.document_id for p in world.model.requests[0].passages] == ["d3", "d2"]
    assert [p.score for p in world.model.requests[0].passages] == [0.5, 0.5]
    assert world.held_while_reranking == [0]
    assert frames[-1].data["citations"][0]["document_id"] == "d3"
    assert frames[-1].data["not_reranked"] == []


async def test_a_run_whose_reranker_fails_answers_in_the_first_order_and_says_so(
    world: Any, asked: Callable[..., RunInput], collect: Any
) -> None:
    three_passages(world)
    world.fail_reranking = ProviderError("RERANKER_AUTH_ERROR", "no")
    run = Run(world.runtime(), asked(top_k=2))
    frames = await collect(run)
    assert [p.document_id for p in world.model.requests[0].passages] == ["d1", "d2"]
    assert frames[-1].data["not_reranked"] == [{"corpus_id": "c1", "code": "RERANKER_AUTH_ERROR"}]
    assert run.answer is not None
    assert [each.as_json() for each in run.answer.not_reranked] == frames[-1].data["not_reranked"]
