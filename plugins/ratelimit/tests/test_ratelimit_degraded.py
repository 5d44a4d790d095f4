"""Times without the shared state reach the audit log, at most once a minute, and none is left out."""

from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from ragwork_hooks.audit import PLATFORM_TENANT
from ragwork_hooks.errors import Problem


class Log:
    def __init__(self):
        self.events = []
        self.broken = False

    async def append(self, tx, event):
        if self.broken:
            raise Problem("SERVICE_UNAVAILABLE", "the database is away")
        self.events.append((tx, event))


def services_with(log):
    @asynccontextmanager
    async def tenant(tenant_id, mode="write"):
        yield f"{tenant_id} {mode}"

    return SimpleNamespace(use_optional=lambda capability: log, db=SimpleNamespace(tenant=tenant))


def requests(log):
    return [event.metadata["requests"] for _, event in log.events]


async def test_it_is_recorded_at_once_and_then_once_a_minute(world, clock, kit):
    log, held = Log(), world(kit.AwayState(clock))
    services = services_with(log)
    await held.degradation.record(services)
    assert log.events == []
    for second in range(125):
        await held.gate.admit(kit.ask())
        await held.degradation.record(services)
        clock.pass_s(1.0)
        if second == 0:
            assert requests(log) == [1]
    assert requests(log) == [1, 60, 60]
    tx, event = log.events[0]
    assert tx == f"{PLATFORM_TENANT} write"
    assert (event.type, event.outcome, event.actor_type) == (
        "system.rate_limit.degraded",
        "failure",
        "system",
    )
    assert event.metadata["fail_mode"] == "open"


async def test_what_could_not_be_recorded_is_recorded_later(world, clock, kit):
    log, held = Log(), world(kit.AwayState(clock), fail_mode="closed")
    log.broken = True
    await held.gate.admit(kit.ask())
    with pytest.raises(Problem):
        await held.degradation.record(services_with(log))
    log.broken = False
    await held.gate.admit(kit.ask())
    await held.degradation.record(services_with(log))
    assert requests(log) == [2]


async def test_without_an_audit_log_nothing_is_written(world, clock, kit):
    held = world(kit.AwayState(clock))
    await held.gate.admit(kit.ask())
    await held.degradation.record(services_with(None))
