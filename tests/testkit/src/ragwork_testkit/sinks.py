"""What every sink must do. Subclass ``SinkContract``, supply ``make`` and ``effects``."""

import asyncio
import itertools
import re
from collections.abc import Sequence

import pytest
from ragwork_hooks.events import Delivery, Event, Sink

from ragwork_testkit.calling import check_cancellation, check_loop_goes_on
from ragwork_testkit.contract_base import Contract
from ragwork_testkit.llm import HOSTILE_TEXTS
from ragwork_testkit.watched import watched


class SinkContract(Contract):
    """The contract of a sink. Delivery is at least once: what comes twice must take effect once."""

    def make(self) -> Sink:
        """A sink over the test's own empty target. A second one stands for the next process."""
        raise NotImplementedError

    def effects(self) -> Sequence[int]:
        """The ids of the deliveries that took effect, in order."""
        raise NotImplementedError

    def delivery(self, number: int, *, tenant: str = "t1", key: str = "k", attempt: int = 1) -> Delivery:
        """A delivery of the first type that the sink takes."""
        kind = self.make().types[0]
        event = Event(type=kind.replace(".*", ".sample"), key=key, payload={"document_id": key})
        return Delivery(id=number, tenant_id=tenant, event=event, attempt=attempt)

    def test_it_has_a_name_and_takes_well_formed_types(self) -> None:
        """A sink has a name and takes types such as `index.changed` or `index.*`: set `name` and `types`."""
        sink = watched(self.make())
        assert sink.name
        assert sink.types
        assert all(re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)*(\.\*)?", kind) for kind in sink.types)

    async def test_deliveries_take_effect_in_their_order(self) -> None:
        """Deliveries take effect in their order: await each effect before `deliver` returns."""
        sink = watched(self.make())
        for number in (3, 5, 9):
            await sink.deliver(self.delivery(number))
        assert list(self.effects()) == [3, 5, 9]

    async def test_what_is_delivered_twice_takes_effect_once(self) -> None:
        """What is delivered twice takes effect once: remember the ids of deliveries beside their effect."""
        sink = watched(self.make())
        await sink.deliver(self.delivery(1))
        await sink.deliver(self.delivery(1, attempt=2))
        assert list(self.effects()) == [1]

    async def test_the_next_process_knows_what_took_effect(self) -> None:
        """The next process knows what took effect: keep the ids where the effect is, not in memory."""
        await watched(self.make()).deliver(self.delivery(1))
        await watched(self.make()).deliver(self.delivery(1, attempt=2))
        assert list(self.effects()) == [1]

    async def test_tenants_and_keys_at_once_are_each_delivered(self) -> None:
        """Deliveries at once are each delivered: guard the target with a lock, and drop none."""
        sink = watched(self.make())
        many = [self.delivery(n, tenant=f"t{n % 3}", key=f"k{n % 7}") for n in range(1, 41)]
        await asyncio.gather(*(sink.deliver(each) for each in many))
        assert sorted(self.effects()) == list(range(1, 41))

    @pytest.mark.parametrize("hostile", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
    async def test_hostile_text_is_data(self, hostile: str) -> None:
        """Any text is data: encode it for the target, never put it into a command or a query."""
        sink = watched(self.make())
        await sink.deliver(self.delivery(1, key=hostile))
        await sink.deliver(self.delivery(2))
        assert list(self.effects()) == [1, 2]

    async def test_the_event_loop_goes_on_meanwhile(self) -> None:
        """Every other request waits while a delivery blocks the event loop: await an asynchronous client, or
        move the work to a thread with `asyncio.to_thread`.
        """
        sink, numbers = watched(self.make()), itertools.count(1)
        await check_loop_goes_on(lambda: sink.deliver(self.delivery(next(numbers))))

    async def test_a_cancelled_delivery_ends_as_cancelled(self) -> None:
        """A delivery whose process ends is cancelled and comes again: let CancelledError pass."""
        sink, numbers = watched(self.make()), itertools.count(1)
        await check_cancellation(lambda: sink.deliver(self.delivery(next(numbers))))
