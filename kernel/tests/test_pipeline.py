"""The order of decisions, and that in doubt the answer is no."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from ragwork_hooks.admission import Admission, AdmissionResult, Reservation, ServiceLimits
from ragwork_hooks.auth import Credential, Principal, Role
from ragwork_hooks.authz import Action, Deny, Resource
from ragwork_hooks.errors import Problem
from ragwork_hooks.http import StreamEvent
from ragwork_hooks.notification import Notification
from ragwork_kernel.data import migrations
from ragwork_testkit.database import FreshDatabase, PostgresServer
from serving import (
    ABSTAIN,
    ALLOW,
    RoleGate,
    StepAdmit,
    StepGate,
    TokenIsIdentity,
    eventually,
    public,
    route,
    serving,
    streamed,
)

STAGES = ("address", "switch", "rate", "entitlement", "capacity", "quota", "sla", "cost")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(postgres: PostgresServer) -> AsyncIterator[FreshDatabase]:
    """One database for this module: its tests keep nothing in it."""
    async with postgres.database([migrations.KERNEL]) as fresh:
        yield fresh


@attrs.frozen
class LoggedAuthenticator(TokenIsIdentity):
    log: list[str] = attrs.field(factory=list)

    async def authenticate(self, credential: Credential) -> Principal | None:
        self.log.append("authenticate")
        return await super().authenticate(credential)


@attrs.frozen
class Raises:
    error: BaseException
    name: str = "raises"

    async def authenticate(self, _credential: Credential) -> Principal | None:
        raise self.error


@contextlib.asynccontextmanager
async def steps(
    database: FreshDatabase, *refusing: str, transaction: str = "write"
) -> AsyncIterator[tuple[Any, list[str]]]:
    """A platform whose every step writes its name down; those called ``refusing`` say no."""
    log: list[str] = []

    def said(step: str, yes: object) -> object:
        return Deny("AUTHZ_DENIED", "no") if step in refusing else yes

    async def handler(call: Any) -> object:
        log.append("handler")
        return {"ok": True}

    async def resource(call: Any) -> Resource:
        log.append("load")
        if "load" in refusing:
            raise Problem("NOT_FOUND", "none")
        return Resource(kind="thing", id="1", tenant_id=call.principal.tenant_id)

    async def feature(call: Any) -> str:
        log.append("feature")
        return "things"

    declared = route(
        handler,
        transaction=transaction,
        resource=resource,
        feature=feature,
        action=Action(name="thing.read"),
        rate_class="mutation",
    )
    gates = tuple(
        StepGate(said(f"judge-{stage}", ALLOW), f"judge-{stage}", stage, log)
        for stage in ("role", "resource")
    )
    admission_gates = tuple(
        StepAdmit(stage, said(f"admit-{stage}", Admission()), f"admit-{stage}", log) for stage in STAGES
    )
    async with serving(
        database.app,
        declared,
        authenticators=(LoggedAuthenticator(log=log),),
        gates=gates,
        admission_gates=admission_gates,
    ) as served:
        yield served, log


ORDER = [
    "admit-address", "authenticate", "admit-switch", "judge-role", "admit-rate", "feature", "admit-entitlement",
    "admit-capacity", "load", "judge-resource", "admit-quota", "admit-sla", "admit-cost", "handler",
]  # fmt: skip


async def test_the_steps_are_asked_in_the_order_of_the_contract(database: FreshDatabase) -> None:
    async with steps(database) as (served, log):
        status, _, _ = await served.call()
    assert (status, log) == (200, ORDER)


@pytest.mark.parametrize("refuses", [s for s in ORDER if s.startswith(("admit", "judge", "load"))])
async def test_what_is_refused_earlier_calls_nothing_later(database: FreshDatabase, refuses: str) -> None:
    async with steps(database, refuses) as (served, log):
        status, answer, _ = await served.call()
    assert status == (404 if refuses == "load" else 403)
    assert "error" in answer
    assert log == ORDER[: ORDER.index(refuses) + 1]


LATE = ["admit-quota", "admit-sla", "admit-cost"]
READ_ORDER = [*ORDER[: ORDER.index("load")], *LATE, "load", "judge-resource", "handler"]


async def test_a_read_is_admitted_before_its_transaction_opens(database: FreshDatabase) -> None:
    async with steps(database, transaction="read") as (served, log):
        status, _, _ = await served.call()
    assert (status, log) == (200, READ_ORDER)


@pytest.mark.usefixtures("no_second_connection")
@pytest.mark.parametrize(("also", "status"), [("load", 404), ("judge-resource", 403), (None, 402)])
async def test_a_reads_resource_refuses_before_its_quota_does(
    database: FreshDatabase, also: str | None, status: int
) -> None:
    """What the client sees keeps the contract's order, whatever the order of work is."""

    async def handler(_call: Any) -> object:
        raise AssertionError("reached")

    async def resource(call: Any) -> Resource:
        if also == "load":
            raise Problem("NOT_FOUND", "none")
        return Resource(kind="thing", id="1", tenant_id=call.principal.tenant_id)

    judge = StepGate(Deny() if also == "judge-resource" else ALLOW, "judge", "resource")
    declared = route(handler, transaction="read", resource=resource)
    async with serving(
        database.app,
        declared,
        gates=(RoleGate(), judge),
        admission_gates=(StepAdmit("quota", Deny("QUOTA_EXCEEDED", "used up")),),
        pool_size=1,
        pool_overflow=0,
    ) as served:
        answered, _, _ = await served.call()
    assert answered == status


async def test_a_call_without_credentials_reaches_no_gate(database: FreshDatabase) -> None:
    async with steps(database) as (served, log):
        status, answer, response = await served.call(token=None)
    assert (status, answer["error"]["code"], log) == (401, "AUTH_UNAUTHORIZED", ORDER[:2])
    assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_a_body_is_not_read_for_a_caller_without_the_role(database: FreshDatabase) -> None:
    """The refusal comes while the client still holds its body back."""

    async def handler(_call: Any) -> object:
        return {}

    declared = route(handler, method="POST", body_kind="json", action=Action(name="x.y", role=Role.ADMIN))
    async with serving(database.app, declared) as served:
        head = b"POST /v1/things HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer t1.ann.reader\r\n"
        answer = await served.raw(head + b"Content-Length: 100\r\nConnection: close\r\n\r\n", 0.5)
    assert answer.startswith(b"HTTP/1.1 403")


NONSENSE = [RuntimeError("boom"), None, True, "allow", 1, TimeoutError()]


@pytest.mark.parametrize("answer", NONSENSE, ids=repr)
@pytest.mark.parametrize("stage", ["role", "resource"])
async def test_a_gate_that_raises_or_answers_nonsense_denies(
    database: FreshDatabase, answer: object, stage: str
) -> None:
    called: list[str] = []

    async def handler(_call: Any) -> object:
        called.append("handler")
        return {}

    async def resource(call: Any) -> Resource:
        return Resource(kind="thing", id="1", tenant_id=call.principal.tenant_id)

    gates = (StepGate(name="a"), StepGate(stage="resource", name="b"), StepGate(answer, "bad", stage))
    declared = route(handler, transaction="read", resource=resource)
    async with serving(database.app, declared, gates=gates) as served:
        status, found, _ = await served.call()
    assert (status, found["error"]["code"], called) == (403, "AUTHZ_DENIED", [])


@pytest.mark.parametrize("answer", NONSENSE, ids=repr)
async def test_an_admission_gate_that_raises_or_answers_nonsense_denies(
    database: FreshDatabase, answer: object
) -> None:
    async def handler(_call: Any) -> object:
        raise AssertionError("reached")

    async with serving(database.app, route(handler), admission_gates=(StepAdmit("quota", answer),)) as served:
        status, found, _ = await served.call()
    assert (status, found["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")


@pytest.mark.parametrize(
    ("gates", "status"),
    [((), 403), ((StepGate(ABSTAIN),), 403), ((StepGate(ABSTAIN, "a"), StepGate(ALLOW, "b")), 200),
     ((StepGate(ALLOW, "a"), StepGate(Deny(), "b")), 403)],
)  # fmt: skip
async def test_one_allow_and_no_deny_are_needed(database: FreshDatabase, gates: Any, status: int) -> None:
    async def handler(_call: Any) -> object:
        return {}

    async with serving(database.app, route(handler), gates=gates) as served:
        assert (await served.call())[0] == status


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RuntimeError("boom"), 503, "AUTH_UNAVAILABLE"),
        (Problem("AUTH_UNAVAILABLE", "later"), 503, "AUTH_UNAVAILABLE"),
        (Problem("AUTH_REVOKED_KEY", "revoked"), 401, "AUTH_REVOKED_KEY"),
    ],
)
async def test_a_failing_authenticator_ends_the_request_and_no_other_is_asked(
    database: FreshDatabase, error: BaseException, status: int, code: str
) -> None:
    log: list[str] = []

    async def handler(_call: Any) -> object:
        raise AssertionError("reached")

    authenticators = (Raises(error), LoggedAuthenticator(name="second", log=log))
    async with serving(database.app, route(handler), authenticators=authenticators) as served:
        got, answer, response = await served.call()
    assert (got, answer["error"]["code"], log) == (status, code, [])
    assert "boom" not in str(answer)
    assert ("WWW-Authenticate" in response.headers) == (status == 401)


@pytest.mark.parametrize(
    "lines",
    [
        ["Bearer t1.ann.reader", "Bearer t1.ann.reader"],
        ["Basic t1.ann.reader"],
        ["Bearer"],
        ["Bearer t1.ann.reader extra"],
        ["Bearer\tt1.ann.reader"],
    ],
)
async def test_an_ambiguous_or_malformed_authorization_header_is_none(
    database: FreshDatabase, lines: list[str]
) -> None:
    async def handler(_call: Any) -> object:
        return {}

    async with serving(database.app, route(handler)) as served:
        head = "".join(f"Authorization: {line}\r\n" for line in lines)
        answer = await served.raw(
            f"GET /v1/things HTTP/1.1\r\nHost: h\r\n{head}Connection: close\r\n\r\n".encode()
        )
    assert answer.startswith(b"HTTP/1.1 401"), answer[:200]


async def test_the_peer_is_the_tcp_peer_whatever_the_headers_claim(database: FreshDatabase) -> None:
    gate = StepAdmit("rate")

    async def handler(call: Any) -> object:
        return {"peer": call.peer}

    async with serving(database.app, public(handler), admission_gates=(gate,)) as served:
        forged = {"X-Forwarded-For": "10.0.0.9", "Forwarded": "for=10.0.0.9", "X-Real-IP": "10.0.0.9"}
        _, answer, _ = await served.call(headers=forged)
    assert answer["data"] == {"peer": "127.0.0.1"}
    assert [ask.peer for ask in gate.asks] == ["127.0.0.1"]


class Settled:
    """A hold that counts how it was settled."""

    def __init__(self, fails: bool = False) -> None:
        self.calls: list[bool] = []
        self._fails = fails

    async def settle(self, started: bool) -> None:
        self.calls.append(started)
        if self._fails:
            raise RuntimeError("settle failed")

    def admission(self) -> Admission:
        return Admission(reservation=Reservation(settle=self.settle), headers={"X-Held": "yes"})


@pytest.mark.parametrize(
    ("refuses", "fails", "started"), [(None, None, True), ("cost", None, False), (None, "handler", False)]
)
async def test_a_hold_is_settled_once_and_knows_whether_work_began(
    database: FreshDatabase, refuses: str | None, fails: str | None, started: bool
) -> None:
    held = Settled()

    async def handler(_call: Any) -> object:
        if fails:
            raise RuntimeError(fails)
        return {}

    refusal: object = Deny("QUOTA_EXCEEDED", "no") if refuses else Admission()
    admission_gates = (StepAdmit("quota", held.admission()), StepAdmit("cost", refusal))
    async with serving(database.app, route(handler), admission_gates=admission_gates) as served:
        status, _, response = await served.call()
        await served.pipeline.settled()
    assert held.calls == [started]
    assert status == {(None, None): 200, ("cost", None): 402, (None, "handler"): 500}[refuses, fails]
    # What was granted shows on refusals too.
    assert response.headers["X-Held"] == "yes"


async def test_a_hold_of_a_stream_is_settled_when_the_client_leaves(database: FreshDatabase) -> None:
    held = Settled()

    async def frames() -> AsyncIterator[StreamEvent]:
        yield StreamEvent(type="first", data={})
        await asyncio.sleep(60)

    async def handler(_call: Any) -> object:
        return streamed(frames())

    async with serving(
        database.app, route(handler), admission_gates=(StepAdmit("quota", held.admission()),)
    ) as served:
        headers = {"Authorization": "Bearer t1.ann.reader"}
        async with served.session.get(served.base + "/v1/things", headers=headers) as response:
            await response.content.readline()
            assert held.calls == []
            response.close()
        await eventually(lambda: bool(held.calls), 1)
        await served.pipeline.settled()
    assert held.calls == [True]


async def test_a_hold_that_fails_to_settle_is_logged_and_stops_no_other(
    database: FreshDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = Settled(fails=True), Settled()

    async def handler(_call: Any) -> object:
        return {}

    admission_gates = (StepAdmit("quota", bad.admission()), StepAdmit("cost", good.admission()))
    async with serving(database.app, route(handler), admission_gates=admission_gates) as served:
        assert (await served.call())[0] == 200
        await served.pipeline.settled()
    assert (bad.calls, good.calls) == ([True], [True])
    assert [r.getMessage() for r in caplog.records if r.name == "ragwork_kernel.request.admission"] == [
        "a reservation could not be settled"
    ]


degrades = st.builds(
    ServiceLimits,
    audio=st.booleans(),
    top_k=st.none() | st.integers(1, 50),
    max_output_tokens=st.none() | st.integers(1, 999),
    providers=st.lists(st.sampled_from("abc"), unique=True).map(tuple),
)


def merged(*parts: ServiceLimits) -> ServiceLimits:
    admission = AdmissionResult()
    for part in parts:
        admission = admission.plus(Admission(degrade=part))
    return admission.degrade


def as_sets(value: ServiceLimits) -> ServiceLimits:
    return attrs.evolve(value, providers=tuple(sorted(value.providers)))


@given(a=degrades, b=degrades)
def test_merging_is_order_free_and_idempotent_and_only_tightens(a: ServiceLimits, b: ServiceLimits) -> None:
    both = merged(a, b)
    assert as_sets(both) == as_sets(merged(b, a))
    assert merged(a, a) == a
    assert both.audio <= a.audio
    for name in ("top_k", "max_output_tokens"):
        value, limit = getattr(both, name), getattr(a, name)
        assert limit is None or (value is not None and value <= limit)


@given(parts=st.lists(st.builds(Admission, notices=st.lists(
    st.builds(Notification, type=st.text(max_size=3), data=st.just({}))).map(tuple)), max_size=4))  # fmt: skip
def test_no_notice_is_lost_or_reordered(parts: list[Admission]) -> None:
    admission = AdmissionResult()
    for part in parts:
        admission = admission.plus(part)
    assert admission.notices == tuple(notice for part in parts for notice in part.notices)


async def test_the_handler_sees_the_merged_grant(database: FreshDatabase) -> None:
    async def handler(call: Any) -> object:
        return {"audio": call.admission.degrade.audio, "top_k": call.admission.degrade.top_k}

    admission_gates = (
        StepAdmit("sla", Admission(degrade=ServiceLimits(top_k=9))),
        StepAdmit("cost", Admission(degrade=ServiceLimits(audio=False, top_k=12))),
    )
    async with serving(database.app, route(handler), admission_gates=admission_gates) as served:
        _, answer, _ = await served.call()
    assert answer["data"] == {"audio": False, "top_k": 9}


async def test_the_plan_outside_http_denies_a_resource_of_another_tenant(database: FreshDatabase) -> None:
    from ragwork_kernel.data.db import Pool
    from ragwork_kernel.request.authorization import AuthorizationGates

    plan = AuthorizationGates()
    plan.freeze((RoleGate(), StepGate(stage="resource", name="r")))
    caller = Principal(tenant_id="t1", user_id="u", credential_id="k", kind="api_key", role=Role.ADMIN)
    pool = await Pool.open(database.app, size=1, statement_timeout_ms=1000)
    async with pool.tenant("t1", "read") as tx:
        for tenant, verdict in (("t1", "Allow"), ("t2", "Deny")):
            thing = Resource(kind="thing", id="1", tenant_id=tenant)
            decision = await plan.decide(caller, Action(name="thing.read"), thing, tx)
            assert type(decision.verdict).__name__ == verdict
    await pool.close()
