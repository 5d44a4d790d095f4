"""What a request leaves behind: one record per mutation and denial, on the right tenant's log, or no effect."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import attrs
import pytest
import pytest_asyncio
from ragwork_hooks.admission import Admission, Reservation, Wire
from ragwork_hooks.audit import PLATFORM_TENANT, AuditDetails, AuditEvent, EventCount
from ragwork_hooks.auth import Role
from ragwork_hooks.authz import Action, Deny, Resource
from ragwork_hooks.errors import Problem
from ragwork_hooks.events import RequestSummary
from ragwork_hooks.http import AnyRoute, Response, StreamEvent
from ragwork_hooks.storage import Transaction
from ragwork_kernel.data import migrations
from ragwork_testkit.database import FreshDatabase, PostgresServer
from serving import ALLOW, StepAdmit, StepGate, eventually, route, serving, streamed


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(postgres: PostgresServer) -> AsyncIterator[FreshDatabase]:
    """One database for this module, with a table that handlers write to."""
    async with postgres.database([migrations.KERNEL]) as fresh:
        yield fresh


@attrs.frozen
class Log:
    """Keeps records whose transaction committed; ``fails`` makes appending raise."""

    kept: list[tuple[str, AuditEvent]] = attrs.field(factory=list)
    fails: bool = False
    full: bool = False

    async def append(self, tx: Transaction, event: AuditEvent) -> None:
        await tx.execute("SELECT 1")
        if self.fails:
            raise RuntimeError("the log can't be written")
        tx.on_commit(lambda: self.kept.append((tx.tenant_id, event)))

    def takes(self, tenant_id: str, event: AuditEvent) -> bool:
        return not self.full

    async def tally(self, tx: Transaction, event_type: str, since: datetime) -> EventCount:
        return EventCount(count=0, last_at=None)

    def said(self) -> list[tuple[str, str, str]]:
        return [(tenant, e.type, e.outcome) for tenant, e in self.kept]


@attrs.frozen
class Watcher:
    name: str = "watcher"
    seen: list[RequestSummary] = attrs.field(factory=list)

    def finished(self, request: RequestSummary) -> None:
        self.seen.append(request)


def post(handler: Any, **said: Any) -> Any:
    declared = {
        "method": "POST",
        "rate_class": "mutation",
        "transaction": "write",
        "audit_event": "things.made",
        **said,
    }
    return route(handler, **declared)


async def done(_call: Any) -> object:
    return {}


async def test_a_mutation_leaves_one_record_naming_who_did_what(database: FreshDatabase) -> None:
    async def handler(_call: Any) -> object:
        return Response(data={}, audit=AuditDetails(resource_id="7", metadata={"size": 3}))

    log = Log()
    async with serving(database.app, post(handler), audit=log) as served:
        status, _, response = await served.call("POST", headers={"User-Agent": "probe"})
    assert status == 200
    ((tenant, event),) = log.kept
    assert (tenant, event.type, event.outcome, event.actor_type) == (
        "t1",
        "things.made",
        "success",
        "api_key",
    )
    assert (event.actor_id, event.actor_role) == ("key-ann", "reader")
    assert (event.resource_type, event.resource_id, event.metadata) == ("things", "7", {"size": 3})
    assert event.origin is not None
    assert (event.origin.echo_id, event.origin.user_agent) == (response.headers["X-Request-Id"], "probe")


async def test_nothing_done_is_nothing_recorded(database: FreshDatabase) -> None:
    async def handler(_call: Any) -> object:
        return Response(data={}, changed=False)

    log = Log()
    async with serving(database.app, post(handler), audit=log) as served:
        assert (await served.call("POST"))[0] == 200
    assert log.kept == []


HOW_A_HANDLER_WITH_ITS_OWN_TRANSACTION_ENDS = {
    "commits": ("commit", "return"),
    "commits twice": ("commit", "commit", "return"),
    "rolls back": ("roll back", "return"),
    "rolls back, then commits": ("roll back", "commit", "return"),
    "takes it into none": ("return",),
    "commits, then fails": ("commit", "raise"),
    "fails": ("raise",),
    "rolls back, then fails": ("roll back", "raise"),
    "fails outright": ("crash",),
}


@pytest.mark.parametrize("as_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("ending", HOW_A_HANDLER_WITH_ITS_OWN_TRANSACTION_ENDS)
async def test_a_handler_with_its_own_transaction_leaves_exactly_one_record(
    database: FreshDatabase, ending: str, as_stream: bool
) -> None:
    log = Log()
    at_commit: list[int] = []

    async def act(call: Any) -> None:
        for step in HOW_A_HANDLER_WITH_ITS_OWN_TRANSACTION_ENDS[ending]:
            if step in ("commit", "roll back"):
                with contextlib.suppress(ZeroDivisionError):
                    async with served.pool.tenant(call.principal.tenant_id) as tx:
                        await call.record(tx)
                        if step == "roll back":
                            raise ZeroDivisionError
                    at_commit.append(len(log.kept))
            if step == "raise":
                raise Problem("CONFLICT", "no")
            if step == "crash":
                raise RuntimeError

    async def frames(call: Any) -> AsyncIterator[StreamEvent]:
        yield StreamEvent(type="begun", data={})
        await act(call)

    async def handler(call: Any) -> object:
        if as_stream:
            return streamed(frames(call))
        await act(call)
        return {}

    declared = post(handler, transaction="own", audit_event="things.run")
    async with serving(database.app, declared, audit=log) as served:
        await served.call("POST")
        await eventually(lambda: bool(log.kept), 5)
        await served.pipeline.settled()
    assert log.said() == [("t1", "things.run", "success")]
    assert at_commit == [1] * len(at_commit), "what is committed has its record at that moment"


async def test_a_client_that_leaves_before_anything_is_committed_leaves_a_record(
    database: FreshDatabase,
) -> None:
    log, begun = Log(), asyncio.Event()

    async def frames() -> AsyncIterator[StreamEvent]:
        yield StreamEvent(type="begun", data={})
        begun.set()
        await asyncio.sleep(60)

    async def handler(_call: Any) -> object:
        return streamed(frames())

    declared = post(handler, transaction="own", audit_event="things.run")
    async with serving(database.app, declared, audit=log) as served:
        leaving = asyncio.create_task(served.call("POST"))
        await begun.wait()
        assert log.kept == []
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await eventually(lambda: bool(log.kept), 5)
    assert log.said() == [("t1", "things.run", "success")]


async def test_what_a_handler_does_in_its_own_transaction_is_undone_with_a_record_that_fails(
    database: FreshDatabase,
) -> None:
    committed: list[int] = []

    async def handler(call: Any) -> object:
        async with served.pool.tenant(call.principal.tenant_id) as tx:
            tx.on_commit(lambda: committed.append(1))
            await call.record(tx)
        return {}

    declared = post(handler, transaction="own")
    async with serving(database.app, declared, audit=Log(fails=True)) as served:
        assert (await served.call("POST"))[0] >= 500
    assert committed == []


async def test_a_handler_with_its_own_transaction_that_is_refused_leaves_its_refusal_alone(
    database: FreshDatabase,
) -> None:
    log = Log()
    declared = post(done, transaction="own", audit_event="things.run")
    gates = (StepGate(Deny(), "role", "role"),)
    async with serving(database.app, declared, audit=log, gates=gates) as served:
        assert (await served.call("POST"))[0] == 403
    assert log.said() == [("t1", "rbac.forbidden", "failure")]


async def test_a_failed_mutation_leaves_no_record(database: FreshDatabase) -> None:
    async def handler(_call: Any) -> object:
        raise Problem("CONFLICT", "no")

    log = Log()
    async with serving(database.app, post(handler), audit=log) as served:
        assert (await served.call("POST"))[0] == 409
    assert log.kept == []


async def test_a_mutation_whose_record_cannot_be_written_fails(database: FreshDatabase) -> None:
    committed: list[str] = []

    async def handler(call: Any) -> object:
        call.tx.on_commit(lambda: committed.append("yes"))
        return {}

    async with serving(database.app, post(handler), audit=Log(fails=True)) as served:
        status, _, _ = await served.call("POST")
    assert (status, committed) == (500, [])


async def test_an_event_without_a_write_transaction_is_recorded_before_the_handler(
    database: FreshDatabase,
) -> None:
    log = Log()

    async def handler(_call: Any) -> object:
        assert log.said() == [("t1", "things.seen", "success")]
        return {}

    async with serving(database.app, route(handler, audit_event="things.seen"), audit=log) as served:
        assert (await served.call())[0] == 200


ADMIN = Action(name="thing.read", role=Role.ADMIN)
DENIALS = {
    "role": ({"gates": (StepGate(Deny("AUTH_FORBIDDEN", "no")),)}, "rbac.forbidden"),
    "rate": (
        {
            "admission_gates": (
                StepAdmit("rate", Deny("RATE_LIMITED", "slow", audit_event="security.rate_limited")),
            )
        },
        "security.rate_limited",
    ),
    "quota": (
        {
            "admission_gates": (
                StepAdmit("quota", Deny("QUOTA_EXCEEDED", "", audit_event="quota.hard_cap_blocked")),
            )
        },
        "quota.hard_cap_blocked",
    ),
    "entitlement": ({"admission_gates": (StepAdmit("entitlement", Deny()),)}, "authz.access.denied"),
}


@pytest.mark.parametrize("stage", DENIALS)
async def test_a_denial_leaves_one_record_before_its_reply(database: FreshDatabase, stage: str) -> None:
    parts, event_type = DENIALS[stage]
    log = Log()
    gates = (StepGate(ALLOW),)
    async with serving(
        database.app, post(done, feature="f"), **{"gates": gates, **parts}, audit=log
    ) as served:  # type: ignore[arg-type]
        assert (await served.call("POST"))[0] >= 400
        assert log.said() == [("t1", event_type, "failure")]


async def test_a_refused_resource_and_a_handlers_own_refusal_are_recorded(database: FreshDatabase) -> None:
    async def load(call: Any) -> Resource:
        return Resource(kind="thing", id="1", tenant_id=call.principal.tenant_id)

    async def refuses(_call: Any) -> object:
        raise Problem("AUTHZ_DENIED", "not this one")

    for parts in (
        {"gates": (StepGate(ALLOW), StepGate(Deny(), "judge", "resource"))},
        {"gates": (StepGate(ALLOW), StepGate(ALLOW, "judge", "resource"))},
    ):
        log = Log()
        async with serving(database.app, post(refuses, resource=load), audit=log, **parts) as served:  # type: ignore[arg-type]
            assert (await served.call("POST"))[0] == 403
        assert log.said() == [("t1", "authz.access.denied", "failure")]


async def test_an_unknown_credential_is_recorded_on_the_platforms_log(database: FreshDatabase) -> None:
    log = Log()
    async with serving(database.app, post(done), audit=log) as served:
        assert (await served.call("POST", token="nonsense"))[0] == 401
    ((tenant, event),) = log.kept
    assert (tenant, event.type) == (PLATFORM_TENANT, "auth.access.failure")
    assert (event.actor_type, event.actor_id, event.error_code) == ("anonymous", None, "AUTH_UNAUTHORIZED")


@pytest.mark.parametrize("code", ["NOT_FOUND", "CONFLICT", "VALIDATION_ERROR", "SERVICE_BUSY"])
async def test_what_denies_no_right_is_not_recorded(database: FreshDatabase, code: str) -> None:
    async def handler(_call: Any) -> object:
        raise Problem(code, "no")

    log = Log()
    async with serving(database.app, post(handler), audit=log) as served:
        await served.call("POST")
    assert log.kept == []


async def test_a_denial_that_cannot_be_recorded_is_still_no_yes(database: FreshDatabase) -> None:
    gates = (StepGate(Deny("AUTH_FORBIDDEN", "no")),)
    async with serving(database.app, post(done), gates=gates, audit=Log(fails=True)) as served:
        status, _, _ = await served.call("POST")
    assert status == 500


async def test_a_flooded_log_still_writes_what_a_gate_must_leave_behind(database: FreshDatabase) -> None:
    left: list[str] = []

    async def leave(tx: Transaction) -> None:
        left.append(tx.tenant_id)

    denial = Deny("QUOTA_EXCEEDED", "used up", record=leave)
    log = Log(full=True)
    async with serving(
        database.app, post(done), admission_gates=(StepAdmit("quota", denial),), audit=log
    ) as served:
        assert (await served.call("POST"))[0] == 402
    assert (left, log.kept) == (["t1"], [])


async def test_another_tenant_takes_platform_scope_and_everything_is_bound_to_it(
    database: FreshDatabase,
) -> None:
    async def handler(call: Any) -> object:
        return {"tenant": call.tx.tenant_id}

    log = Log()
    declared = post(handler, path="/v1/things/{tenant_id}")
    async with serving(database.app, declared, audit=log) as served:
        for tenant in ("t2", "never-made"):
            status, body, _ = await served.call("POST", f"/v1/things/{tenant}")
            assert (status, body["error"]["code"]) == (403, "AUTH_FORBIDDEN")
        own = await served.call("POST", "/v1/things/t1")
        other = await served.call("POST", "/v1/things/t2", token="t1.root.admin")
        ill = await served.call("POST", "/v1/things/a'b", token="t1.root.admin")
    assert own[1]["data"] == {"tenant": "t1"}
    assert other[1]["data"] == {"tenant": "t2"}
    assert ill[0] == 404
    assert log.said()[2:] == [("t1", "things.made", "success"), ("t2", "things.made", "success")]


@pytest.mark.usefixtures("no_second_connection")
async def test_admission_of_a_change_to_another_tenant_charges_the_caller(database: FreshDatabase) -> None:
    tenants: list[str] = []

    @attrs.frozen
    class Charging:
        name: str = "charging"
        stage: Any = "quota"

        async def admit(self, ask: Any) -> Admission:
            tenants.append((await ask.open()).tenant_id)
            return Admission()

        def wire(self, route: AnyRoute) -> Wire:
            return Wire()

    declared = post(done, path="/v1/things/{tenant_id}")
    async with serving(
        database.app, declared, admission_gates=(Charging(),), pool_size=1, pool_overflow=0
    ) as served:
        assert (await served.call("POST", "/v1/things/t2", token="t1.root.admin"))[0] == 200
        assert (await served.call("POST", "/v1/things/t1"))[0] == 200
    assert tenants == ["t1", "t1"]


@pytest.mark.parametrize(("transaction", "written", "settled"), [
    ("write", True, []), ("write", False, [False]), ("none", True, [False]), ("none", False, [False]),
])  # fmt: skip
async def test_what_a_rollback_undid_is_not_given_back_twice(
    database: FreshDatabase, transaction: str, written: bool, settled: list[bool]
) -> None:
    calls: list[bool] = []

    async def settle(started: bool) -> None:
        calls.append(started)

    async def handler(_call: Any) -> object:
        raise Problem("CONFLICT", "no")

    reserved = Admission(reservation=Reservation(settle=settle, written=written))
    declared = post(handler, transaction=transaction, audit_event=None)
    async with serving(database.app, declared, admission_gates=(StepAdmit("quota", reserved),)) as served:
        await served.call("POST")
        await served.pipeline.settled()
    assert calls == settled


async def test_observers_learn_of_every_request_and_what_each_gate_said(database: FreshDatabase) -> None:
    watcher = Watcher()
    deny = StepAdmit("rate", Deny("RATE_LIMITED", "slow", headers={"Retry-After": "1"}))
    async with serving(
        database.app,
        post(done, feature=("a", "b")),
        admission_gates=(StepAdmit("entitlement"),),
        observers=(watcher,),
    ) as served:
        _, _, response = await served.call("POST")
    (seen,) = watcher.seen
    assert (seen.tenant_id, seen.route, seen.status, seen.code) == ("t1", "things.list", 200, None)
    assert [(s.stage, s.said) for s in seen.steps] == [
        ("authentication", "allow"), ("role", "allow"), ("entitlement", "allow"), ("entitlement", "allow"),
    ]  # fmt: skip
    assert 0 < seen.deciding_s <= seen.seconds
    assert "decide;dur=" in response.headers["Server-Timing"]
    async with serving(database.app, post(done), admission_gates=(deny,), observers=(watcher,)) as served:
        await served.call("POST")
    assert [(s.stage, s.said, s.code, s.headers) for s in watcher.seen[1].steps[-1:]] == [
        ("rate", "deny", "RATE_LIMITED", {"Retry-After": "1"})
    ]
    assert watcher.seen[1].code == "RATE_LIMITED"


async def test_an_observer_that_raises_disturbs_nobody(database: FreshDatabase) -> None:
    @attrs.frozen
    class Broken:
        name: str = "broken"

        def finished(self, request: RequestSummary) -> None:
            raise RuntimeError("boom")

    watcher = Watcher()

    async def frames() -> AsyncIterator[Any]:
        return
        yield

    async def handler(_call: Any) -> object:
        return streamed(frames())

    async with serving(database.app, route(handler), observers=(Broken(), watcher)) as served:
        assert (await served.call())[0] == 200
    assert [s.status for s in watcher.seen] == [200]
