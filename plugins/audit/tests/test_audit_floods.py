"""A flood of refusals is one record a second and caller, and every refusal is counted in one."""

from typing import Any

from ragwork_audit.log.repeat_suppression import MAX_ORIGINS, RepeatSuppressor
from ragwork_hooks.audit import PLATFORM_TENANT, AuditEvent, Origin


def refusal(peer: str = "10.0.0.1", **fields: Any) -> AuditEvent:
    given: dict[str, Any] = {"type": "auth.access.failure", "outcome": "failure", "actor_type": "anonymous"}
    origin = Origin(request_id="r", echo_id="r", peer=peer, user_agent="")
    return AuditEvent(**(given | {"origin": origin} | fields))


async def test_refusals_of_one_caller_are_one_record_a_second_that_counts_the_rest(here: Any) -> None:
    log = here.service.log

    async def hit(times: int) -> None:
        for _ in range(times):
            if log.takes(PLATFORM_TENANT, refusal()):
                async with here.services.db.tenant(PLATFORM_TENANT) as tx:
                    await log.append(tx, refusal())

    await hit(50)
    here.services.clock.ahead_s = 1.5
    await hit(30)
    rows = await here.look("SELECT repeats FROM audit.events ORDER BY id")
    assert [row["repeats"] for row in rows] == [0, 49]
    here.services.clock.ahead_s = 3.0
    await here.service.write_floods()  # it is over, and still owes 29
    await here.service.write_floods()
    async with here.services.db.tenant(PLATFORM_TENANT, "read") as tx:
        tally = await log.tally(tx, "auth.access.failure", here.services.clock.now().replace(year=2020))
    assert tally.count == 80
    assert tally.last_at is not None
    await here.seal()
    assert (await here.verify())["valid"]


async def test_a_record_that_rolls_back_still_owes_what_it_counted(here: Any) -> None:
    log = here.service.log
    assert log.takes("t1", refusal())
    assert not log.takes("t1", refusal())
    try:
        async with here.services.db.tenant("t1") as tx:
            await log.append(tx, refusal())
            raise RuntimeError
    except RuntimeError:
        pass
    async with here.services.db.tenant("t1") as tx:
        await log.append(tx, refusal())
    assert [r["repeats"] for r in await here.look("SELECT repeats FROM audit.events")] == [1]


def test_denials_of_known_callers_are_all_recorded_and_origins_do_not_share() -> None:
    suppressor = RepeatSuppressor(lambda: 0.0)
    denied = refusal(actor_type="api_key", actor_id="k1", type="rbac.forbidden")
    assert all(suppressor.takes("t1", denied) for _ in range(100))
    limited = refusal(actor_type="api_key", actor_id="k1", type="security.rate_limited")
    assert [suppressor.takes("t1", limited) for _ in range(3)] == [True, False, False]
    assert suppressor.takes("t2", limited)
    assert suppressor.takes("t1", refusal("10.0.0.2"))
    assert suppressor.takes("t1", refusal("10.0.0.3"))


def test_a_million_addresses_take_bounded_memory_and_lose_no_count() -> None:
    suppressor = RepeatSuppressor(lambda: 0.0)
    taken = sum(
        suppressor.takes(PLATFORM_TENANT, refusal(f"2001:db8::{n:x}")) for n in range(MAX_ORIGINS + 5000)
    )
    assert len(suppressor._suppressor) <= MAX_ORIGINS + 1
    assert taken + sum(flood.passed_over for flood in suppressor._suppressor.values()) == MAX_ORIGINS + 5000
