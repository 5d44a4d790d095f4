"""The ledger against a model, under races, and across the death of the process that reserved."""

import asyncio
import subprocess
import sys
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from ragwork_hooks.metering import Account
from ragwork_testkit.process import new_tenant

DAY = Account(name="cost", period="day", limit=Decimal(10))
MONTH = Account(name="cost", period="month", limit=Decimal(25))


async def expire_all(here: Any, tenant: str) -> None:
    """As if the time of every reservation were up."""
    async with here.db.tenant(tenant) as tx:
        await tx.execute("UPDATE quota.reservations SET expires_at = quota.now()")


async def spent(here: Any, tenant: str) -> Decimal:
    async with here.db.tenant(tenant, "read") as tx:
        found: Decimal = await here.capability("Ledger").spent(tx, "cost", "day")
    return found


async def test_two_hundred_reservations_race_for_the_last_room(here: Any, tenant: str) -> None:
    ledger = here.capability("Ledger")

    async def one() -> str | None:
        async with here.db.tenant(tenant) as tx:
            found: str | None = await ledger.reserve(tx, [MONTH, DAY], Decimal("0.3"), 60)
        return found

    made = [found for found in await asyncio.gather(*(one() for _ in range(200))) if found]
    assert len(made) == 33
    assert await spent(here, tenant) == Decimal("9.9")


async def test_all_accounts_are_held_or_none(here: Any, tenant: str) -> None:
    ledger = here.capability("Ledger")
    tight = Account(name="tokens", period="month", limit=Decimal(1))
    async with here.db.tenant(tenant) as tx:
        assert await ledger.reserve(tx, [DAY, tight], Decimal(2), 60) is None
        assert await ledger.spent(tx, "cost", "day") == 0
        assert await ledger.reserve(tx, [DAY, tight], Decimal(1), 60)
        assert await ledger.spent(tx, "cost", "day") == 1


async def test_a_reservation_is_settled_once(here: Any, tenant: str) -> None:
    ledger = here.capability("Ledger")
    async with here.db.tenant(tenant) as tx:
        reservation = await ledger.reserve(tx, [DAY], Decimal(4), 60)
    for amount in ("1.5", "9", "0"):
        async with here.db.tenant(tenant) as tx:
            await ledger.settle(tx, reservation, Decimal(amount))
    assert await spent(here, tenant) == Decimal("1.5")


async def test_another_tenants_reservation_cannot_be_touched(here: Any, tenant: str) -> None:
    ledger = here.capability("Ledger")
    async with here.db.tenant(tenant) as tx:
        reservation = await ledger.reserve(tx, [DAY], Decimal(4), 60)
    async with here.db.tenant(new_tenant()) as tx:
        await ledger.release(tx, reservation)
    assert await spent(here, tenant) == 4


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity"])
async def test_an_amount_that_is_none_is_refused(here: Any, tenant: str, amount: str) -> None:
    async with here.db.tenant(tenant) as tx:
        with pytest.raises(ValueError, match="no amount"):
            await here.capability("Ledger").reserve(tx, [DAY], Decimal(amount), 60)


async def test_an_expired_reservation_makes_room_before_anybody_sweeps(here: Any, tenant: str) -> None:
    ledger = here.capability("Ledger")
    async with here.db.tenant(tenant) as tx:
        await ledger.reserve(tx, [DAY], Decimal(10), 60)
        assert await ledger.reserve(tx, [DAY], Decimal(1), 60) is None
    await expire_all(here, tenant)
    async with here.db.tenant(tenant) as tx:
        assert await ledger.spent(tx, "cost", "day") == 0
        assert await ledger.reserve(tx, [DAY], Decimal(10), 60)
        assert await ledger.expire(tx) == 1
        assert await ledger.spent(tx, "cost", "day") == 10


_RESERVE_AND_HANG = """
import asyncio, sys
from decimal import Decimal
from ragwork_hooks.metering import Account
from ragwork_kernel.data.db import Pool
from ragwork_quota.ledger import QuotaLedger

async def main(dsn, tenant, started):
    pool = await Pool.open(dsn, size=1, statement_timeout_ms=5000)
    ledger, account = QuotaLedger(), Account(name="cost", period="day", limit=Decimal(10))
    async with pool.tenant(tenant) as tx:
        reservation = await ledger.reserve(tx, [account], Decimal(4), 60)
    if started:
        async with pool.tenant(tenant) as tx:
            await ledger.started(tx, reservation)
    print(reservation, flush=True)
    await asyncio.sleep(60)

asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3] == "started"))
"""


@pytest.mark.parametrize(("state", "left"), [("started", 4), ("waiting", 0)])
async def test_a_killed_process_leaves_neither_free_work_nor_a_phantom(
    urls: Any, here: Any, tenant: str, state: str, left: int
) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _RESERVE_AND_HANG, urls.app, tenant, state, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        assert await child.stdout.readline()
    finally:
        child.kill()
        await child.wait()
    assert await spent(here, tenant) == 4
    await expire_all(here, tenant)
    here.directory.ids = [tenant]
    (schedule,) = (s for s in here.contribution.schedules if s.name == "quota.expire")
    await schedule.run()
    assert await spent(here, tenant) == left


class LedgerModel(RuleBasedStateMachine):
    """Random reserves, settles, releases and expiries, beside a dictionary that does the same."""

    held = Bundle("held")
    process: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.scope = self.process()
        self.here = self.runner.run(self.scope.__aenter__())
        self.ledger = self.here.capability("Ledger")
        self.tenant = new_tenant()
        self.settled = Decimal(0)
        self.open: dict[str, tuple[Decimal, bool]] = {}

    def teardown(self) -> None:
        self.runner.run(self.scope.__aexit__(None, None, None))
        self.runner.close()

    def call(self, name: str, *args: object) -> Any:
        async def run() -> Any:
            async with self.here.db.tenant(self.tenant) as tx:
                return await getattr(self.ledger, name)(tx, *args)

        return self.runner.run(run())

    @property
    def spent(self) -> Decimal:
        return self.settled + sum((amount for amount, _ in self.open.values()), Decimal(0))

    @rule(target=held, amount=st.decimals(0, 8, places=3))
    def reserve(self, amount: Decimal) -> Any:
        made = self.call("reserve", [DAY, MONTH], amount, 60.0)
        assert (made is not None) == (self.spent + amount <= 10)
        if made:
            self.open[made] = (amount, False)
        return made

    @rule(reservation=held)
    def start(self, reservation: str | None) -> None:
        if reservation:
            self.call("started", reservation)
            if reservation in self.open:
                self.open[reservation] = (self.open[reservation][0], True)

    @rule(reservation=consumes(held), amount=st.decimals(0, 9, places=3), again=st.booleans())
    def settle(self, reservation: str | None, amount: Decimal, again: bool) -> None:
        if reservation:
            self.call("settle", reservation, amount)
            if self.open.pop(reservation, None):
                self.settled += amount
            if again:
                self.call("release", reservation)

    @rule(reservation=held)
    def release(self, reservation: str | None) -> None:
        if reservation:
            self.call("release", reservation)
            self.open.pop(reservation, None)

    @rule(sweep=st.booleans())
    def expire(self, sweep: bool) -> None:
        if not sweep:
            return
        self.runner.run(expire_all(self.here, self.tenant))
        assert self.call("expire") == len(self.open)
        self.settled += sum((amount for amount, started in self.open.values() if started), Decimal(0))
        self.open.clear()

    @invariant()
    def agree(self) -> None:
        assert self.call("spent", "cost", "day") == self.spent
        assert self.call("spent", "cost", "month") == self.spent


def test_the_ledger_agrees_with_its_model(urls: Any, start: Any) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    LedgerModel.process = partial(start, urls, size=1)
    run_state_machine_as_test(
        LedgerModel, settings=settings(max_examples=25, stateful_step_count=30, deadline=None)
    )
