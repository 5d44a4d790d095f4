"""Too many ingestion requests at once are refused, and no place is ever lost."""

import asyncio

import pytest
from ragwork_documents.ingestion.ingest_capacity_gate import IntakeGate
from ragwork_hooks.admission import Admission
from ragwork_hooks.authz import Deny
from ragwork_testkit import admission
from ragwork_testkit.services import ProviderServices


def places(number, wait_s):
    return ProviderServices().shares("intake", number, waiting=100, wait_s=wait_s)


def ask(switch="ingest"):
    return admission.asked(None, rate_class="mutation", switch=switch)


async def test_what_comes_beyond_the_places_waits_then_is_refused():
    gate = IntakeGate(places(2, 0.05))
    first, second = await gate.admit(ask()), await gate.admit(ask())
    refused = await gate.admit(ask())
    assert isinstance(refused, Deny)
    assert (refused.code, refused.headers["Retry-After"]) == ("SERVICE_BUSY", "1")
    waiting = asyncio.create_task(gate.admit(ask()))
    await asyncio.sleep(0)
    await first.reservation.settle(False)
    assert isinstance(await waiting, Admission)
    await second.reservation.settle(True)
    assert isinstance(await gate.admit(ask()), Admission)


@pytest.mark.parametrize("switch", [None, "run"])
async def test_other_routes_take_no_place(switch):
    gate = IntakeGate(places(1, 0.01))
    for _ in range(3):
        admitted = await gate.admit(ask(switch))
        assert isinstance(admitted, Admission)
        assert admitted.reservation is None


async def test_a_caller_that_leaves_while_waiting_takes_no_place():
    gate = IntakeGate(places(1, 5))
    held = await gate.admit(ask())
    leaving = asyncio.create_task(gate.admit(ask()))
    await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await held.reservation.settle(True)
    assert isinstance(await gate.admit(ask()), Admission)
