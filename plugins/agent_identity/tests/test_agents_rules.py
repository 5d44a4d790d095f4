"""The grammar of scopes, constraints as the SDK reads them and better, and secrets at rest."""

import datetime as dt
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oculus_sdk import evaluator
from ragwork_agent_identity.encryption import SecretBox
from ragwork_agent_identity.policies import scopes
from ragwork_agent_identity.tokens import constraints, opaque_tokens
from ragwork_agent_identity.tokens.lineage import Lineage, Link
from ragwork_hooks.errors import Problem

MONDAY = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
_DAYS = ["mon", "tuesday", "wed", "thu", "friday", "sat", "sun"]


@pytest.mark.parametrize("scope", ["db:read", "stripe.customers.read", "aws:s3.read", "a_b:c-d", "1:2"])
def test_scopes_of_the_grammar(scope: str) -> None:
    assert scopes.parse(f"{scope} {scope}") == (scope,)


@pytest.mark.parametrize(
    "scope", ["read", "Db:read", "db:", ":read", "db::read", "-a:b", "db:rëad", "a:b\n", "*:*"]
)
def test_what_is_no_scope_is_refused(scope: str) -> None:
    with pytest.raises(Problem, match="INVALID_SCOPE"):
        scopes.parse(scope)


@pytest.mark.parametrize(
    ("custom", "asked", "seconds"),
    [(None, "a:read", 600), (86_400, "a:read", 86_400), (86_400, "a.write", 900), (300, "a:admin", 300)],
)
def test_the_lifetime_is_capped_by_risk(custom: int | None, asked: str, seconds: int) -> None:
    assert scopes.lifetime(custom, (asked,)) == seconds


def _hour() -> Any:
    return st.tuples(st.integers(0, 23), st.integers(0, 59)).map(lambda t: f"{t[0]:02}:{t[1]:02}")


@given(
    st.lists(st.sampled_from(_DAYS), min_size=1),
    st.tuples(_hour(), _hour()).map(sorted).filter(lambda pair: pair[0] < pair[1]),
    st.integers(0, 7 * 1440),
    st.one_of(st.none(), st.integers(0, 200)),
    st.one_of(st.none(), st.text(max_size=3)),
)
def test_we_agree_with_the_sdk_on_what_it_understands(
    days: list[str], hours: list[str], minute: int, amount: int | None, task: str | None
) -> None:
    now = MONDAY + dt.timedelta(minutes=minute)
    bounds = {"days": days, "hours": "-".join(hours), "timezone": "America/New_York"}
    held = {"time_bounds": bounds, "max_amount_cents": 100, "task_context_required": True, "max_results": 100}
    context = {"amount_cents": amount, "result_count": amount, "task_id": task}
    with mock.patch.object(evaluator, "datetime") as clock:
        clock.now = now.astimezone
        theirs = evaluator.CapabilityEvaluator().evaluate("a:b", {"a:b"}, held, context)
    assert constraints.evaluate("a:b", {"a:b"}, held, context, now) == theirs.reason


def test_where_the_sdk_lets_pass_we_do_not() -> None:
    night = {"hours": "22:00-06:00", "days": ["mon"]}
    for hour, inside in ((23, True), (24 + 5, True), (5, False), (24 + 23, False), (12, False)):
        assert constraints.in_window(night, MONDAY + dt.timedelta(hours=hour)) is inside
    for broken in ({"hours": "9-17"}, {"timezone": "Mars/Base"}, {"days": ["someday"]}, "always"):
        assert not constraints.in_window(broken, MONDAY)
        with pytest.raises(Problem):
            constraints.checked({"time_bounds": broken})
    for amount in ("lots", 1.5, True, -1):
        held = {"max_amount_cents": 100}
        said = constraints.evaluate("a:b", {"a:b"}, held, {"amount_cents": amount}, MONDAY)
        assert said == constraints.AMOUNT


def test_constraints_only_tighten() -> None:
    held = {"max_results": 5, "task_context_required": True, "time_bounds": {"hours": "22:00-06:00"}}
    tight = {"max_results": 4, "time_bounds": {"hours": "23:00-05:00", "days": ["mon"]}}
    assert constraints.tightened(held, tight) == {**held, **tight}
    for looser in (
        {"max_results": 6},
        {"task_context_required": False},
        {"time_bounds": {"hours": "21:00-05:00"}},
        {"time_bounds": {}},
    ):
        with pytest.raises(Problem, match="CONSTRAINT_ESCALATION"):
            constraints.tightened(held, looser)


@given(st.integers(0, 80), st.characters())
def test_a_credential_with_one_character_changed_is_never_looked_up(place: int, other: str) -> None:
    text = opaque_tokens.Mint(bytes(32)).new(opaque_tokens.API_KEY).text
    assert opaque_tokens.id_of(text, opaque_tokens.API_KEY) is not None
    changed = text[:place] + other + text[place + 1 :]
    assert changed == text or opaque_tokens.id_of(changed, opaque_tokens.API_KEY) is None
    assert opaque_tokens.id_of(text, opaque_tokens.CLIENT_SECRET) is None


def test_the_sdks_token_says_only_what_was_signed() -> None:
    mint = opaque_tokens.Mint(bytes(32))
    lineage = Lineage(
        tenant_id="t",
        kid="k",
        links=(Link(agent="a", revision=1, credential="c", jti="j"),),
        grant="client_credentials",
        scopes=("x.read",),
        audience="here",
        task_id=None,
        person=None,
        delegation_id=None,
        family=None,
    )
    said = opaque_tokens.SdkClaims(lineage=lineage, constraints={}, expires_at=9)
    token = mint.sdk_token(said)
    assert mint.read_sdk_token(token) == said
    assert opaque_tokens.Mint(b"1" * 32).read_sdk_token(token) is None
    body, _, mac = token.partition(".")
    assert mint.read_sdk_token(f"{body}A.{mac}") is None
    assert mint.read_sdk_token(f"{body}.") is None


def test_a_sealed_secret_opens_only_where_it_belongs() -> None:
    secret_box = SecretBox(bytes(32))
    sealed = secret_box.seal(b"pem", "signing_key", "t1", "k1")
    assert b"pem" not in sealed
    assert secret_box.open(sealed, "signing_key", "t1", "k1") == b"pem"
    for other, place in (
        (secret_box, ("signing_key", "t2", "k1")),
        (SecretBox(b"1" * 32), ("signing_key", "t1", "k1")),
    ):
        with pytest.raises(RuntimeError, match="does not open"):
            other.open(sealed, *place)
