"""``explain`` names every gate that was asked, in order, for a run that was let in and for runs that were not."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from doorkit import LIMITED, Tenant, opened
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import Answer, Running

pytestmark = pytest.mark.asyncio(loop_scope="module")
#: The order of the contract; a run has no resource of its own.
STAGES = (
    "address", "authentication", "switch", "role", "rate", "entitlement", "capacity", "quota", "sla", "cost",
)  # fmt: skip
REFUSERS = ("rollouts.switch", "abac.role", "ratelimit.buckets", "plans", "quota")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def app(postgres: PostgresServer) -> AsyncIterator[Running]:
    async with opened(postgres, LIMITED) as running:
        yield running


async def explained(app: Running, admin: str, answer: Answer) -> Any:
    found = await app.call("GET", f"/v1/explain/{answer.headers['X-Request-Id']}", admin)
    assert found.status == 200, found.text
    return found.data


def path_of_a_run(app: Running) -> list[tuple[str, str]]:
    """Every gate that is enabled, in the order in which a run meets them."""
    plan = app.platform.plan
    names = {stage: [gate.name for gate in gates] for stage, gates in plan.admission_gates.items()}
    names["role"] = [gate.name for gate in plan.gates if gate.stage == "role"]
    names["authentication"] = [authenticator.name for authenticator in plan.authenticators]
    return [(stage, name) for stage in STAGES for name in names.get(stage, ())]


def asked(explanation: Any) -> list[tuple[str, str]]:
    return [(step["stage"], step["gate"]) for step in explanation["steps"]]


async def test_an_admitted_run_shows_every_gate_with_its_limits_and_time(app: Running) -> None:
    tenant = await Tenant.of(app)
    admin, reader = await tenant.key(), await tenant.key("reader")
    await tenant.corpus(admin)
    await tenant.limit(daily_requests_limit=100)
    told = await explained(app, admin, await tenant.run(reader))
    path = path_of_a_run(app)
    assert asked(told) == path
    assert {"apikeys", "rbac", *REFUSERS} <= {gate for _, gate in path}
    assert (told["status"], told["code"], told["route"]) == (200, None, "run.create")
    assert {step["verdict"] for step in told["steps"]} == {"allow"}
    assert all(step["ms"] >= 0 for step in told["steps"])
    assert sum(step["ms"] for step in told["steps"]) <= told["deciding_ms"] <= told["total_ms"]
    by_gate = {step["gate"]: step["limits"] for step in told["steps"]}
    assert by_gate["ratelimit.buckets"]["RateLimit"].startswith('"run-key";r=0')
    assert by_gate["quota"]["X-Quota-Day-Used"] == "4"


@pytest.mark.parametrize("gate", REFUSERS)
async def test_a_refused_run_shows_the_gates_up_to_the_one_that_refused(app: Running, gate: str) -> None:
    tenant = await Tenant.of(app)
    admin, reader = await tenant.key(), await tenant.key("reader")
    await tenant.corpus(admin)
    match gate:
        case "rollouts.switch":
            await tenant.kill("run")
        case "abac.role":
            policy = {"name": "p", "effect": "deny", "resource_type": "run", "action": "run"}
            await app.call("POST", "/v1/admin/authz/policies", admin, json={**policy, "condition_json": {}})
        case "ratelimit.buckets":
            assert (await tenant.run(reader)).status == 200
        case "plans":
            await tenant.feature("retrieval.local_pgvector", False)
        case _:
            await tenant.limit(daily_requests_limit=2)
    refused = await tenant.run(reader, X_Request_Id=f"no-{gate}")
    if gate == "rollouts.switch":
        await tenant.kill("run", False)
    if gate == "quota":
        await tenant.limit(daily_requests_limit=None)
    told = await explained(app, admin, refused)
    path = path_of_a_run(app)
    if gate == "ratelimit.buckets":
        # The run before has proven the key: its address is not asked about again.
        path = [step for step in path if step[0] != "address"]
    assert asked(told) == path[: [name for _, name in path].index(gate) + 1]
    last = told["steps"][-1]
    assert (last["gate"], last["verdict"]) == (gate, "deny")
    assert (last["code"], told["status"]) == (refused.body["error"]["code"], refused.status)
    assert told["client_request_id"] == f"no-{gate}"
    assert told["request_id"] != told["client_request_id"]


async def test_a_document_that_may_not_be_read_shows_who_said_so(app: Running) -> None:
    tenant = await Tenant.of(app)
    admin = await tenant.key()
    await tenant.corpus(admin)
    await tenant.document(admin)
    refused = await app.call("GET", "/v1/documents/d1", await tenant.key("reader", "bob"))
    told = await explained(app, admin, refused)
    denials = [(s["stage"], s["gate"]) for s in told["steps"] if s["verdict"] == "deny"]
    assert denials == [("resource", "documents.acl")]


async def test_explanations_are_for_administrators_of_the_same_tenant(app: Running) -> None:
    tenant, other = await Tenant.of(app), await Tenant.of(app)
    reader = await tenant.key("reader")
    answer = await tenant.run(reader)
    path = f"/v1/explain/{answer.headers['X-Request-Id']}"
    assert (await app.call("GET", path, reader)).status == 403
    assert (await app.call("GET", path, await other.key())).status == 404
    assert (await app.call("GET", "/v1/explain/none", await tenant.key())).status == 404
