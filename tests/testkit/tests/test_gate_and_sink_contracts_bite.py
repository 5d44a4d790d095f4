"""The kits of gates and sinks refuse implementations that break one promise each."""

from collections.abc import Sequence
from typing import Literal

import pytest
from ragwork_hooks.auth import Principal
from ragwork_hooks.authz import ABSTAIN, Action, Deny, Everything, Gate, ReadScope, Resource, Verdict
from ragwork_hooks.events import Delivery, Sink
from ragwork_hooks.storage import Transaction
from ragwork_testkit.gates import GateContract
from ragwork_testkit.sinks import SinkContract


class Judge:
    """Denies everything, until a subclass breaks it."""

    name = "judge"
    stage: Literal["role", "resource"] = "role"

    async def decide(
        self, principal: Principal, action: Action, resource: Resource | None, tx: Transaction | None
    ) -> Verdict:
        return Deny()

    async def narrow(self, principal: Principal, action: Action, scope: ReadScope) -> ReadScope:
        return scope


class Widening(Judge):
    async def narrow(self, principal: Principal, action: Action, scope: ReadScope) -> ReadScope:
        return Everything()


class Idle(Judge):
    async def decide(
        self, principal: Principal, action: Action, resource: Resource | None, tx: Transaction | None
    ) -> Verdict:
        return ABSTAIN


class Vague(Judge):
    async def decide(
        self, principal: Principal, action: Action, resource: Resource | None, tx: Transaction | None
    ) -> Verdict:
        return True  # type: ignore[return-value]


def gates(gate: Gate) -> GateContract:
    class Contract(GateContract):
        actions = ("document.read",)

        def make(self) -> Gate:
            return gate

    return Contract()


async def test_a_gate_that_keeps_its_promises_passes() -> None:
    kit = gates(Judge())
    kit.test_it_has_a_name_and_a_stage()
    await kit.test_narrowing_never_widens()
    await kit.test_every_verdict_is_one_of_the_three_and_stays_the_same()
    await kit.test_it_decides_something()


async def test_a_gate_that_breaks_one_is_refused() -> None:
    with pytest.raises(AssertionError, match="became"):
        await gates(Widening()).test_narrowing_never_widens()
    with pytest.raises(AssertionError, match="abstains"):
        await gates(Idle()).test_it_decides_something()
    with pytest.raises(AssertionError):
        await gates(Vague()).test_every_verdict_is_one_of_the_three_and_stays_the_same()


class Forgetful:
    """Takes every delivery for a new one, as a sink without a memory does."""

    name = "forgetful"
    types: tuple[str, ...] = ("index.*",)

    def __init__(self, log: list[int]) -> None:
        self.log = log

    async def deliver(self, delivery: Delivery) -> None:
        self.log.append(delivery.id)


def sinks() -> SinkContract:
    log: list[int] = []

    class Contract(SinkContract):
        def make(self) -> Sink:
            return Forgetful(log)

        def effects(self) -> Sequence[int]:
            return log

    return Contract()


async def test_a_sink_without_a_memory_is_refused() -> None:
    await sinks().test_deliveries_take_effect_in_their_order()
    with pytest.raises(AssertionError):
        await sinks().test_what_is_delivered_twice_takes_effect_once()
    with pytest.raises(AssertionError):
        await sinks().test_the_next_process_knows_what_took_effect()
