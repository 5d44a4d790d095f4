"""The compiled evaluator against an independent, slow reading of the language, and the laws it must keep."""

import datetime as dt
import os
import random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ragwork_abac.conditions import parse
from ragwork_abac.evaluation import compiled
from ragwork_abac.policies import AbacPolicy, ApplicableRules, Rule

CASES = 200_000 if os.environ.get("RAGWORK_PROVE") else 2_000
LIMITS = {"max_bytes": 65_536, "max_depth": 32}


# --- the reference: straight from the JSON, one rule a line, no sharing with the evaluator under test --------


def reference(condition, facts):
    if condition == {}:
        return "true"
    ((name, body),) = condition.items()
    if name == "all":
        found = [reference(part, facts) for part in body]
        return "false" if "false" in found else "unknown" if "unknown" in found else "true"
    if name == "any":
        found = [reference(part, facts) for part in body]
        return "true" if "true" in found else "unknown" if "unknown" in found else "false"
    if name == "not":
        return {"true": "false", "false": "true", "unknown": "unknown"}[reference(body, facts)]
    if name == "ne":
        return reference({"not": {"eq": body}}, facts)
    if name == "not_in":
        return reference({"not": {"in": body}}, facts)
    if isinstance(body, list):
        left, right = body
    elif "field" in body:
        left, right = {"var": body["field"]}, body["value"]
    else:
        left, right = body["left"], body["right"]
    return _leaf(name, _get(left, facts), right if name.endswith("between") else _get(right, facts))


MISSING = object()


def _get(operand, facts):
    return facts.get(operand["var"], MISSING) if isinstance(operand, dict) else operand


def _leaf(name, a, b):
    if a is MISSING or b is MISSING:
        return "unknown"
    if name == "eq":
        return "unknown" if _type(a) != _type(b) or _type(a) == "list" else _say(a == b)
    if name == "in":
        return _member(a, b)
    if name == "contains":
        if _type(a) == _type(b) == "text":
            return _say(a.find(b) >= 0)
        return _member(b, a)
    if name == "starts_with":
        return _say(a[: len(b)] == b) if _type(a) == _type(b) == "text" else "unknown"
    if name == "time_between":
        return _time_between(a, b)
    if name == "date_between":
        return _date_between(a, b)
    if _type(a) != _type(b) or _type(a) not in ("text", "number"):
        return "unknown"
    return _say({"gt": a > b, "gte": a >= b, "lt": a < b, "lte": a <= b}[name])


def _member(item, values):
    if _type(values) != "list" or _type(item) == "list":
        return "unknown"
    found = [_leaf("eq", item, value) for value in values]
    return "true" if "true" in found else "unknown" if "unknown" in found else "false"


def _type(value):
    names = {bool: "boolean", str: "text", int: "number", float: "number", list: "list", tuple: "list"}
    return names[type(value)]


def _say(truth):
    return "true" if truth else "false"


def _moment(text):
    """(hours, minutes, seconds) and date of what the tests feed: ISO with offset, HH:MM, or a date."""
    if not isinstance(text, str):
        return None, None
    if "T" in text:
        try:
            moment = dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z").astimezone(dt.UTC)
        except ValueError:
            return None, None
        return (moment.hour, moment.minute, moment.second), (moment.year, moment.month, moment.day)
    parts = text.split(":")
    if len(parts) == 2 and all(len(p) == 2 and p.isdecimal() and p.isascii() for p in parts):
        return (int(parts[0]), int(parts[1]), 0), None
    parts = text.split("-")
    if [len(p) for p in parts] == [4, 2, 2] and all(p.isdecimal() and p.isascii() for p in parts):
        return None, tuple(map(int, parts))
    return None, None


def _clock(text):
    return tuple([*map(int, text.split(":")), 0][:3])


def _time_between(value, bounds):
    now, _ = _moment(value)
    if now is None:
        return "unknown"
    start, end = _clock(bounds["start"]), _clock(bounds["end"])
    return _say(start <= now < end) if start < end else _say(not end <= now < start)


def _date_between(value, bounds):
    _, day = _moment(value)
    if day is None:
        return "unknown"
    return _say(
        tuple(map(int, bounds["start"].split("-"))) <= day <= tuple(map(int, bounds["end"].split("-")))
    )


# --- cases ---------------------------------------------------------------------------------------------

PATHS = (
    "principal.id", "principal.role", "principal.groups", "principal.platform", "resource.owner",
    "resource.labels.level", "resource.labels.n", "resource.permissions", "request.time",
)  # fmt: skip
SCALARS = (
    "ann",
    "bob",
    "",
    "high",
    "hi",
    "1",
    "true",
    "admin",
    1,
    0,
    1.0,
    -2.5,
    True,
    False,
    "10:30",
    "2026-05-05",
)
TIMES = (
    "2026-05-05T10:30:00+00:00",
    "2026-12-31T23:59:59+02:00",
    "23:15",
    "05:00",
    "2026-05-05",
    "noon",
    "é",
    "T",
)


def some_facts(rng):
    every = {
        "principal.id": rng.choice(("ann", "bob")),
        "principal.role": rng.choice(("reader", "editor", "admin")),
        "principal.groups": tuple(rng.sample(("ann", "high", "legal"), rng.randrange(4))),
        "principal.platform": rng.random() < 0.5,
        "resource.owner": rng.choice(("ann", "bob", "")),
        "resource.labels.level": rng.choice(("high", "low", "1", "")),
        "resource.labels.n": rng.choice(("1", "10:30", "2026-05-05")),
        "resource.permissions": tuple(rng.sample(("read", "write"), rng.randrange(3))),
        "request.time": rng.choice(TIMES),
    }
    return {name: value for name, value in every.items() if rng.random() < 0.7}


def operand(rng, lists=False):
    if rng.random() < 0.6:
        return {"var": rng.choice(PATHS)}
    if lists and rng.random() < 0.8:
        return [rng.choice(SCALARS) for _ in range(rng.randrange(4))]
    return rng.choice(SCALARS + TIMES)


def some_condition(rng, depth):
    if depth and rng.random() < 0.5:
        name = rng.choice(("all", "any", "not"))
        if name == "not":
            return {"not": some_condition(rng, depth - 1)}
        return {name: [some_condition(rng, depth - 1) for _ in range(rng.randrange(1, 4))]}
    if rng.random() < 0.05:
        return {}
    name = rng.choice(
        (
            "eq",
            "ne",
            "in",
            "not_in",
            "gt",
            "gte",
            "lt",
            "lte",
            "contains",
            "starts_with",
            "time_between",
            "date_between",
        )
    )
    left = operand(rng, lists=name == "contains")
    right = operand(rng, lists=name in ("in", "not_in"))
    if name == "time_between":
        start, end = rng.sample(("00:00", "06:00", "10:30", "18:00:30", "22:00"), 2)
        right = {"start": start, "end": end}
    if name == "date_between":
        start, end = sorted(rng.choices(("2026-01-01", "2026-05-05", "2026-12-31", "2027-06-01"), k=2))
        right = {"start": start, "end": end}
    if isinstance(left, dict) and rng.random() < 0.2:
        return {name: {"field": left["var"], "value": right}}
    return {name: [left, right] if rng.random() < 0.7 else {"left": left, "right": right}}


WORDS = {True: "true", False: "false", None: "unknown"}


@settings(max_examples=CASES)
@given(st.integers(0, 2**48))
def test_the_evaluator_agrees_with_the_reference(seed):
    rng = random.Random(seed)
    condition, facts = some_condition(rng, 4), some_facts(rng)
    assert WORDS[compiled(parse(condition, **LIMITS))(facts)] == reference(condition, facts), (
        condition,
        facts,
    )


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"eq": [True, 1]}, None),
        ({"eq": [False, 0]}, None),
        ({"eq": [1, 1.0]}, True),
        ({"eq": ["1", 1]}, None),
        ({"ne": ["1", 1]}, None),
        ({"eq": [{"var": "principal.platform"}, "true"]}, None),
        ({"eq": [{"var": "principal.platform"}, True]}, True),
        ({"eq": [{"var": "principal.groups"}, "legal"]}, None),
        ({"eq": [{"var": "principal.groups"}, {"var": "principal.groups"}]}, None),
        ({"gt": ["10", 9]}, None),
        ({"gt": [True, False]}, None),
        ({"gt": ["b", "a"]}, True),
        ({"gt": ["10", "9"]}, False),
        ({"contains": ["True", True]}, None),
        ({"contains": ["true", "tru"]}, True),
        ({"contains": [{"var": "principal.groups"}, "lega"]}, False),
        ({"contains": [{"var": "principal.groups"}, 1]}, None),
        ({"in": [1, [True]]}, None),
        ({"in": [True, [1]]}, None),
        ({"in": ["a", []]}, False),
        ({"in": ["a", "abc"]}, None),
        ({"not_in": ["a", ["b", 1]]}, None),
        ({"not_in": ["b", ["b", 1]]}, False),
        ({"in": [{"var": "resource.labels.none"}, ["a"]]}, None),
        ({"not": {"eq": [{"var": "resource.labels.none"}, "a"]}}, None),
        ({"starts_with": ["1", 1]}, None),
        ({"any": [{"eq": [{"var": "resource.labels.none"}, "a"]}, {"eq": [1, 1]}]}, True),
        ({"all": [{"eq": [{"var": "resource.labels.none"}, "a"]}, {"eq": [1, 2]}]}, False),
        ({"time_between": [10, {"start": "00:00", "end": "23:59"}]}, None),
    ],
)
def test_types_are_never_confused(condition, expected):
    facts = {"principal.platform": True, "principal.groups": ("legal",)}
    assert compiled(parse(condition, **LIMITS))(facts) is expected


def some_policies(rng, number):
    return [
        AbacPolicy(
            id=f"p{n}", tenant_id="t", name="n", version=1, effect=rng.choice(("allow", "deny")),
            resource_type="document", action="read", condition=some_condition(rng, 2), priority=rng.randrange(3),
            enabled=True,
        )
        for n in range(number)
    ]  # fmt: skip


def outcome(policies, facts, default_deny=True):
    return ApplicableRules.of(map(Rule.of, policies)).decide(facts, default_deny=default_deny)


def by_reference(policies, facts):
    """The decision in the contract's own words."""
    order = sorted(policies, key=lambda p: (-p.priority, p.id))
    for policy in order:
        if policy.effect == "deny" and reference(policy.condition, facts) != "false":
            return False, "policy_deny", policy.id
    for policy in order:
        if policy.effect == "allow" and reference(policy.condition, facts) == "true":
            return True, "policy_allow", policy.id
    return False, "default_deny", None


@given(st.integers(0, 2**48))
def test_a_set_of_policies_decides_as_the_contract_says(seed):
    rng = random.Random(seed)
    policies, facts = some_policies(rng, rng.randrange(6)), some_facts(rng)
    found = outcome(policies, facts)
    assert (found.allowed, found.reason, found.rule and found.rule.policy.id) == by_reference(policies, facts)


@given(st.integers(0, 2**48))
def test_the_laws_hold(seed):
    rng = random.Random(seed)
    policies, facts = some_policies(rng, rng.randrange(1, 6)), some_facts(rng)
    before = outcome(policies, facts)
    deciding = before.rule and before.rule.policy
    shuffled = rng.sample(policies, len(policies))
    again = outcome(shuffled, facts)
    assert (again.allowed, again.reason, again.rule and again.rule.policy) == (
        before.allowed,
        before.reason,
        deciding,
    )
    (more,) = some_policies(rng, 1)
    denied = outcome([*policies, attrs.evolve(more, id="z", effect="deny")], facts)
    assert before.allowed or not denied.allowed
    widened = outcome([*policies, attrs.evolve(more, id="z", effect="allow")], facts)
    assert widened.allowed or not before.allowed
    renamed = [attrs.evolve(p, id=f"other-{p.id}") for p in policies]
    assert outcome(renamed, facts).allowed == before.allowed
    assert outcome(policies, facts, default_deny=False).allowed or before.reason != "policy_allow"


@given(st.integers(0, 2**48))
def test_losing_an_attribute_never_grants(seed):
    rng = random.Random(seed)
    policies, facts = some_policies(rng, rng.randrange(1, 6)), some_facts(rng)
    for name in list(facts):
        less = {key: value for key, value in facts.items() if key != name}
        assert outcome(policies, facts).allowed or not outcome(policies, less).allowed
