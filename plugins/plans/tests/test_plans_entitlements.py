"""The gate, the cache behind it, and requests for another plan."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
import pytest
import pytest_asyncio
from ragwork_hooks.admission import Admission, AdmissionRequest
from ragwork_hooks.authz import Deny
from ragwork_hooks.events import Event
from ragwork_hooks.plans import Plans
from ragwork_plans import plugin
from ragwork_plans.config import PlansConfig
from ragwork_plans.gate import EntitlementGate
from ragwork_plans.store import PostgresPlans
from ragwork_testkit import admission

PLUGINS = ("directory", "apikeys", "rbac", "plans")


@pytest_asyncio.fixture
async def app(platform: Callable[..., Any]) -> AsyncIterator[Any]:
    async with platform(plugins=PLUGINS, settings={"PLAN_DEFAULT": "free"}) as running:
        yield running


def asked(feature: str | None, tenant: str = "t1") -> AdmissionRequest:
    return admission.asked(admission.caller(tenant), rate_class="run", feature=feature)


def gate_of(app: Any) -> Any:
    return EntitlementGate(app.platform.facades["plans"].use(Plans))


async def on(app: Any, tenant: str, plan: str) -> None:
    facade = app.platform.facades["plans"]
    async with facade.db.tenant(tenant) as tx:
        await facade.use(Plans).assign(tx, plan)


@pytest.mark.parametrize(
    ("plan", "feature", "allowed"),
    [
        ("free", "retrieval.local_pgvector", True),
        ("free", "tts", False),
        ("free", None, True),
        ("pro", "tts", True),
        ("pro", "retrieval.aws_bedrock_kb", False),
        ("enterprise", "retrieval.aws_bedrock_kb", True),
        ("free", "acme.widgets", False),
        ("pro", "acme.widgets", False),
        ("enterprise", "acme.widgets", True),
    ],
)
async def test_the_gate_follows_the_plan(app: Any, plan: str, feature: str | None, allowed: bool) -> None:
    await on(app, "t1", plan)
    assert isinstance(await gate_of(app).admit(asked(feature)), Admission) == allowed


async def test_a_refusal_names_the_feature_and_the_plans_that_have_it(app: Any) -> None:
    verdict = await gate_of(app).admit(asked("tts"))
    assert isinstance(verdict, Deny)
    assert (verdict.code, verdict.audit_event) == ("FEATURE_NOT_ENABLED", "authz.access.denied")
    assert verdict.details == {"feature_key": "feature.tts", "plan_id": "free"}
    assert verdict.message == (
        "Feature not enabled for tenant plan free: feature.tts; it is part of pro and enterprise"
    )
    bedrock = await gate_of(app).admit(asked("retrieval.aws_bedrock_kb"))
    assert isinstance(bedrock, Deny)
    assert bedrock.details["feature_key"] == "feature.retrieval.aws_bedrock"


async def test_a_change_elsewhere_reaches_the_gate_within_a_second(
    app: Any, platform: Callable[..., Any]
) -> None:
    async with platform(plugins=PLUGINS, database_url=app.database_url) as far:
        gate, operator = gate_of(app), await app.key("ops", platform=True)
        for body, allowed in (({"enabled": True}, True), ({"enabled": False}, False)):
            assert isinstance(await gate.admit(asked("tts")), Admission) != allowed
            patched = await far.call(
                "PATCH", "/v1/admin/plans/t1/overrides", operator, json={"feature_key": "tts", **body}
            )
            assert patched.status == 200
            started = time.monotonic()
            while isinstance(await gate.admit(asked("tts")), Admission) != allowed:
                assert time.monotonic() - started < 1.0
                await asyncio.sleep(0.01)
        # One tenant's override is nobody else's.
        assert isinstance(await gate.admit(asked("tts", "t2")), Deny)


@attrs.define
class Process:
    """The services of a booted plugin, with its own caches and with what is counted or recorded here."""

    facade: Any
    embedded: bool = False
    opened: int = 0
    published: list[tuple[str, Event]] = attrs.field(factory=list)

    @property
    def caches(self) -> Any:
        return self.facade.caches

    @property
    def db(self) -> Any:
        return self

    @property
    def events(self) -> Any:
        return self

    def tenant(self, tenant_id: str, mode: Any = "write") -> Any:
        self.opened += 1
        return self.facade.db.tenant(tenant_id, mode)

    async def publish(self, tx: Any, event: Event) -> None:
        self.published.append((tx.tenant_id, event))


async def test_a_warm_gate_opens_no_transaction(app: Any) -> None:
    here = Process(app.platform.facades["plans"])
    gate = EntitlementGate(PostgresPlans(here, "free"))
    for _ in range(3):
        await gate.admit(asked("tts", "cold"))
    assert here.opened == 1


async def test_asking_twice_is_one_request_until_an_operator_grants_it(app: Any) -> None:
    here = Process(app.platform.facades["plans"])
    plans = PostgresPlans(here, "free")

    async def ask(tenant: str = "t1", plan: str = "pro") -> int:
        async with here.tenant(tenant) as tx:
            return await plans.ask_upgrade(tx, plan, "we need speech", "key-1")

    first = await ask()
    assert set(await asyncio.gather(*(ask() for _ in range(10)))) == {first}
    assert len({first, await ask(plan="enterprise"), await ask("t2")}) == 3
    told = [(tenant, event.type, event.payload["target_plan"]) for tenant, event in here.published]
    assert told == [
        ("t1", "billing.upgrade_requested", "pro"),
        ("t1", "billing.upgrade_requested", "enterprise"),
        ("t2", "billing.upgrade_requested", "pro"),
    ]
    assert "speech" not in str(here.published)
    # Asking gives nothing; the operator's assignment closes the request.
    assert (await plans.subscription("t1")).plan_id == "free"
    async with here.tenant("t1") as tx:
        assert await plans.assign(tx, "pro")
        assert not await plans.assign(tx, "pro")
    assert (await plans.subscription("t1")).plan_id == "pro"
    assert await ask() != first


async def test_twenty_concurrent_first_keys_agree_on_one_plan(app: Any) -> None:
    facade = app.platform.facades["plans"]

    async def ensure(default: str) -> str:
        async with facade.db.tenant("new") as tx:
            return await PostgresPlans(Process(facade), default).ensure(tx, None)

    given = await asyncio.gather(*(ensure(("free", "pro")[n % 2]) for n in range(20)))
    assert len(set(given)) == 1


@pytest.mark.parametrize(
    ("default", "embedded", "plan"),
    [(None, True, "enterprise"), (None, False, "free"), ("pro", True, "pro"), ("free", True, "free")],
)
async def test_the_default_plan(app: Any, default: str | None, embedded: bool, plan: str) -> None:
    from ragwork_hooks.plugin import PluginContext

    here = Process(app.platform.facades["plans"], embedded=embedded)
    contribution = plugin.ragwork_contribute(
        PluginContext(services=here, config=PlansConfig(default=default))  # type: ignore[arg-type]
    )
    plans = contribution.capabilities[Plans]
    assert isinstance(plans, PostgresPlans)
    async with here.tenant("t1", "read") as tx:
        assert (await plans.read(tx)).subscription.plan_id == plan


async def test_rows_of_another_tenant_do_not_exist(app: Any) -> None:
    facade = app.platform.facades["plans"]
    await on(app, "t1", "pro")
    async with facade.db.tenant("t2") as tx:
        assert await tx.fetchval("SELECT count(*) FROM plans.assignments") == 0
        with pytest.raises(Exception, match="row-level security"):
            await tx.execute("INSERT INTO plans.overrides (tenant_id, feature_key) VALUES ('t1', 'tts')")
    with pytest.raises(Exception, match="permission denied"):
        async with facade.db.tenant("t2") as tx:
            await tx.execute("UPDATE plans.plans SET includes_unlisted = true")
