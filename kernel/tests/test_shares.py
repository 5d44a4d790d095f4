"""Shared places: the contract, and whatever order tenants come, leave and are cancelled in."""

import asyncio
import contextlib
from collections.abc import Callable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_hooks.shares import Share, Shares
from ragwork_kernel.base.shares import SharesFactory, work_for, working_for
from ragwork_testkit.shares import Refused, SharesContract


def make_shares(
    places: int, *, waiting: int = 10, wait_s: float | None = None, most: int | None = None
) -> Shares:
    return SharesFactory("test").make(
        "places", places, waiting=waiting, wait_s=wait_s, most=most, refusal=Refused
    )


class TestKernelShares(SharesContract):
    @pytest.fixture
    def make(self) -> Callable[..., Shares]:
        return make_shares


@attrs.define(eq=False)
class Visit:
    """One request for places, and what was seen of it."""

    tenant: str
    units: int
    task: "asyncio.Task[None]"
    leave: asyncio.Event
    share: Share | None = None
    ended: bool = False


class World:
    """Tenants that come and go as told, and what must hold after every step."""

    def __init__(self, places: int, waiting: int) -> None:
        self.places = places
        self.shares = make_shares(places, waiting=waiting)
        self.visits: list[Visit] = []
        #: Who was served while a tenant waited and held nothing, by that tenant.
        self.passed_by: dict[str, list[str]] = {}

    def arrive(self, tenant: str, units: int) -> None:
        async def stay() -> None:
            try:
                with await self.shares.take(units, tenant=tenant) as share:
                    self._served(visit, share)
                    await visit.leave.wait()
            finally:
                visit.ended, visit.share = True, None

        visit = Visit(
            tenant, min(units, self.places), asyncio.get_running_loop().create_task(stay()), asyncio.Event()
        )
        self.visits.append(visit)

    def held(self, tenant: str) -> int:
        return sum(v.share.units for v in self.visits if v.share is not None and v.tenant == tenant)

    def waiters(self) -> list[Visit]:
        return [v for v in self.visits if v.share is None and not v.ended]

    def _served(self, visit: Visit, share: Share) -> None:
        visit.share = share
        self.passed_by.pop(visit.tenant, None)
        for tenant in {other.tenant for other in self.waiters()} - {visit.tenant}:
            if not self.held(tenant):
                self.passed_by.setdefault(tenant, []).append(visit.tenant)

    async def step(self, action: str, which: int, tenant: str, units: int) -> None:
        if action == "arrive":
            self.arrive(tenant, units)
        elif self.visits:
            visit = self.visits[which % len(self.visits)]
            if action == "leave":
                visit.leave.set()
            else:
                visit.task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)

    def check(self, ones: bool) -> None:
        held = sum(v.share.units for v in self.visits if v.share is not None)
        assert held == self.shares.held <= self.places
        waiters = self.waiters()
        assert len(waiters) == self.shares.waiting
        if waiters:
            needed = 1 if ones else max(v.units for v in waiters)
            assert self.places - held < needed, "places are idle while somebody waits"
        for tenant in set(self.passed_by) - {visit.tenant for visit in waiters}:
            del self.passed_by[tenant]
        for passed in self.passed_by.values():
            assert len(passed) == len(set(passed)), "a tenant was served twice before one that held nothing"
        for visit in self.visits:
            if visit.ended and not visit.task.cancelled() and visit.task.exception() is not None:
                assert isinstance(visit.task.exception(), Refused)

    async def end(self) -> None:
        for visit in self.visits:
            visit.task.cancel()
        await asyncio.gather(*(v.task for v in self.visits), return_exceptions=True)
        assert (self.shares.held, self.shares.waiting) == (0, 0), "something leaked"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["arrive", "arrive", "leave", "cancel"]),
        st.integers(0, 40),
        st.sampled_from(["a", "a", "a", "b", "c"]),
        st.integers(1, 4),
    ),
    max_size=40,
)


@pytest.mark.parametrize("ones", [True, False], ids=["single places", "units"])
@given(steps=STEPS, places=st.integers(1, 4), waiting=st.integers(0, 6))
def test_in_any_order_none_is_idle_none_starves_and_none_is_lost(
    ones: bool, steps: list[tuple[str, int, str, int]], places: int, waiting: int
) -> None:
    async def play() -> None:
        world = World(places, waiting)
        for action, which, tenant, units in steps:
            await world.step(action, which, tenant, 1 if ones else units)
            world.check(ones)
        await world.end()

    asyncio.run(play())


@given(
    crowd=st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=30),
    places=st.integers(1, 5),
    waiting=st.integers(0, 10),
)
def test_a_newcomer_waits_for_one_completion_and_is_not_refused(
    crowd: list[str], places: int, waiting: int
) -> None:
    async def play() -> None:
        shares = make_shares(places, waiting=waiting)
        held: list[Share] = []

        async def come(tenant: str) -> None:
            with contextlib.suppress(Refused):
                held.append(await shares.take(tenant=tenant))

        tasks = [asyncio.create_task(come(tenant)) for tenant in crowd]
        await asyncio.sleep(0)
        newcomer = asyncio.create_task(shares.take(tenant="new"))
        for _ in range(10):
            await asyncio.sleep(0)
        # Whoever else holds nothing came before it.
        claims = set(crowd) - set(crowd[:places])
        for _ in range(1 + len(claims)):
            if not newcomer.done():
                held.pop(0).release()
                for _ in range(10):
                    await asyncio.sleep(0)
        assert newcomer.done()
        assert newcomer.exception() is None
        for task in (newcomer, *tasks):
            task.cancel()

    asyncio.run(play())


async def test_a_place_that_is_free_is_not_taken_past_one_who_waits_for_two() -> None:
    shares = make_shares(3)
    held = await shares.take(2, tenant="ann")
    large = asyncio.create_task(shares.take(2, tenant="bob"))
    await asyncio.sleep(0)
    small = asyncio.create_task(shares.take(1, tenant="cyn"))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not large.done()
    assert not small.done()
    held.release()
    for share in (await large, await small):
        share.release()


async def test_places_count_as_whoevers_the_task_works_for() -> None:
    shares = make_shares(2, waiting=10, most=1)
    with work_for("t1"):
        share = await shares.take()
        waits = asyncio.create_task(shares.take())  # a task works for whoever started it
    assert working_for.get() == ""
    await asyncio.sleep(0)
    assert not waits.done()
    other = await shares.take()
    share.release()
    (await waits).release()
    other.release()


def test_metrics_are_by_name_and_not_by_tenant() -> None:
    async def play() -> SharesFactory:
        factory = SharesFactory("app")
        shares = factory.make("runs", 1, waiting=0, refusal=Refused)
        await shares.take(tenant="t1")
        with pytest.raises(Refused, match="all 1 places of runs are taken, 1 of them by your own"):
            await shares.take(tenant="t1")
        return factory

    families = {family.name: family.samples for family in asyncio.run(play()).collect()}
    assert {name: [(s.labels, s.value) for s in samples] for name, samples in families.items()} == {
        "app_shares_places": [({"name": "runs"}, 1)],
        "app_shares_held": [({"name": "runs"}, 1)],
        "app_shares_waiting": [({"name": "runs"}, 0)],
        "app_shares_refused": [({"name": "runs"}, 1)],
    }
