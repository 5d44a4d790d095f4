"""Which tenants a canary reaches: always the same, and more of them as it grows."""

from hypothesis import given
from hypothesis import strategies as st
from ragwork_rollouts.canary import reaches

NAMES = st.sampled_from(["rollout.tts", "rollout.external_retrieval"])
TENANTS = st.text(st.sampled_from("abcXYZ019._:-"), min_size=1, max_size=128)
PERCENTAGES = st.integers(0, 100)


@given(NAMES, TENANTS, PERCENTAGES, PERCENTAGES)
def test_raising_a_percentage_only_adds_tenants(canary: str, tenant: str, one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert not reaches(canary, low, tenant) or reaches(canary, high, tenant)


@given(NAMES, TENANTS)
def test_nobody_at_0_and_everybody_at_100(canary: str, tenant: str) -> None:
    assert not reaches(canary, 0, tenant)
    assert reaches(canary, 100, tenant)


def test_the_choice_is_the_same_on_every_machine_and_release() -> None:
    reached = [f"t{n}" for n in range(60) if reaches("rollout.tts", 10, f"t{n}")]
    assert reached == ["t24", "t41", "t58", "t59"]


def test_canaries_reach_about_their_share_and_not_the_same_tenants() -> None:
    tenants = [f"tenant-{n}" for n in range(20_000)]
    tts = {t for t in tenants if reaches("rollout.tts", 30, t)}
    external = {t for t in tenants if reaches("rollout.external_retrieval", 30, t)}
    assert 0.285 < len(tts) / len(tenants) < 0.315
    assert 0.285 < len(external) / len(tenants) < 0.315
    assert 0.08 < len(tts & external) / len(tenants) < 0.10
