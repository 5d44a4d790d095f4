"""What lists and retrieval may show is what reading by id would allow: never more, and all that can be said."""

import os
import random
from datetime import UTC, datetime

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ragwork_abac.attributes import principal_facts, request_facts, resource_facts
from ragwork_abac.condition_scope import sides
from ragwork_abac.conditions import parse, variables
from ragwork_abac.evaluation import compiled
from ragwork_abac.policies import AbacPolicy, PolicySet
from ragwork_hooks.auth import Principal, Role
from ragwork_hooks.authz import Everything, LabelIn, Not, Nothing, OwnedBy, Resource
from ragwork_testkit.gates import Readable, admits

CASES = 20_000 if os.environ.get("RAGWORK_PROVE") else 1_000
NOW = datetime(2026, 5, 5, 10, 30, tzinfo=UTC)
ANN = Principal(
    tenant_id="t",
    user_id="ann",
    credential_id="k",
    kind="api_key",
    role=Role.EDITOR,
    groups=frozenset({"high", "g"}),
)

DOCUMENTS = [
    Resource(
        kind="document", id=id_, tenant_id="t", owner=owner, labels=labels, permissions=frozenset({"read"})
    )
    for id_ in ("d1", "d2")
    for owner in ("ann", "bob")
    for labels in ({}, {"level": "high"}, {"level": "low", "team": "g"}, {"team": ""}, {"level": "ann"})
]


def readable(document):
    return Readable(id=document.id, owner=document.owner, labels=tuple(document.labels.items()))


def facts(document):
    return {
        **principal_facts(ANN), **resource_facts("document", "t", document), **request_facts("read", NOW)
    }  # fmt: skip


def some_condition(rng, depth):
    """Over attributes of all three kinds; a third of the leaves can't be said in the algebra."""
    if depth and rng.random() < 0.5:
        name = rng.choice(("all", "any", "not"))
        if name == "not":
            return {"not": some_condition(rng, depth - 1)}
        return {name: [some_condition(rng, depth - 1) for _ in range(rng.randrange(1, 4))]}
    label = {"var": rng.choice(("resource.labels.level", "resource.labels.team"))}
    value = rng.choice(("high", "low", "g", "", "ann", 1, True, {"var": "principal.id"}))
    scalars = rng.sample(("high", "low", "ann", "g", 1), rng.randrange(4))
    return rng.choice(
        (
            {rng.choice(("eq", "ne", "gt", "gte", "lt", "lte", "contains", "starts_with")): [label, value]},
            {rng.choice(("eq", "ne", "gt", "gte", "lt", "lte", "contains", "in")): [value, label]},
            {rng.choice(("in", "not_in")): [label, rng.choice((scalars, {"var": "principal.groups"}))]},
            {
                rng.choice(("eq", "ne")): [
                    {"var": "resource.owner"},
                    rng.choice(({"var": "principal.id"}, "bob", 1)),
                ]
            },
            {rng.choice(("eq", "ne")): ["d1", {"var": "resource.id"}]},
            {rng.choice(("in", "not_in")): [{"var": "resource.id"}, ["d1", "d9"]]},
            {"contains": [{"var": "resource.permissions"}, rng.choice(("read", "write"))]},
            {"in": [{"var": "request.action"}, {"var": "resource.permissions"}]},
            {"eq": [label, {"var": "resource.owner"}]},
            {"eq": [{"var": "principal.role"}, rng.choice(("editor", "admin"))]},
            {
                "time_between": [
                    {"var": "request.time"},
                    {"start": "09:00", "end": rng.choice(("10:00", "18:00"))},
                ]
            },
            {"date_between": [label, {"start": "2026-01-01", "end": "2026-12-31"}]},
            {},
        )
    )


def some_policies(rng):
    return [
        AbacPolicy(
            id=f"p{n}", tenant_id="t", name="n", version=1, effect=rng.choice(("allow", "deny")),
            resource_type=rng.choice(("document", "*", "corpus")), action=rng.choice(("read", "*", "write")),
            condition=some_condition(rng, 2), priority=rng.randrange(3), enabled=rng.random() < 0.9,
        )
        for n in range(rng.randrange(5))
    ]  # fmt: skip


@settings(max_examples=CASES)
@given(st.integers(0, 2**48), st.booleans())
def test_a_narrowed_scope_shows_nothing_that_enforcement_denies(seed, default_deny):
    rules = PolicySet.of("t", some_policies(random.Random(seed)))
    applicable = rules.about("document", "read")
    known = {**principal_facts(ANN), **resource_facts("document", "t", None), **request_facts("read", NOW)}
    scope = applicable.readable(known, default_deny=default_deny)
    for document in DOCUMENTS:
        enforced = applicable.decide(facts(document), default_deny=default_deny).allowed
        assert enforced or not admits(scope, readable(document)), (document, scope)


def sayable(condition):
    """Whether the README promises this condition to lists: no two open attributes, no dates of labels."""
    text = str(condition)
    return not any(
        hard in text
        for hard in (
            "'write'",
            "date_between",
            "'var': 'resource.owner'}]",
            "{'contains': [1",
            "{'contains': [True",
        )
    ) and not any(_label_on_the_right(part) for part in _leaves(condition))


def _leaves(condition):
    for name, body in condition.items():
        if name in ("all", "any"):
            for part in body:
                yield from _leaves(part)
        elif name == "not":
            yield from _leaves(body)
        else:
            yield name, body


def _label_on_the_right(leaf):
    name, body = leaf
    return name in ("contains", "in", "starts_with") and "resource.labels" in str(body[1])


@settings(max_examples=CASES)
@given(st.integers(0, 2**48))
def test_what_the_readme_promises_is_exact(seed):
    condition = some_condition(random.Random(seed), 2)
    if not sayable(condition):
        return
    known = {**principal_facts(ANN), **resource_facts("document", "t", None), **request_facts("read", NOW)}
    tree = parse(condition, max_bytes=16_384, max_depth=8)
    found, test = sides(tree, known), compiled(tree)
    for document in DOCUMENTS:
        truth = test(facts(document))
        assert admits(found.holds, readable(document)) == (truth is True), (condition, document)
        assert admits(found.fails, readable(document)) == (truth is False), (condition, document)


def test_a_fresh_install_adds_nothing_to_the_query():
    known = {**principal_facts(ANN), **resource_facts("document", "t", None), **request_facts("read", NOW)}
    assert PolicySet.of("t", []).about("document", "read").readable(known, default_deny=True) == Everything()


def test_a_policy_about_the_caller_leaves_no_trace_in_the_query():
    known = {**principal_facts(ANN), **resource_facts("document", "t", None), **request_facts("read", NOW)}
    condition = {
        "all": [{"eq": [{"var": "principal.role"}, "reader"]}, {"eq": [{"var": "resource.labels.l"}, "x"]}]
    }
    deny = AbacPolicy(
        id="p", tenant_id="t", name="n", version=1, effect="deny", resource_type="document", action="read",
        condition=condition, priority=1, enabled=True,
    )  # fmt: skip
    rules = PolicySet.of("t", [deny]).about("document", "read")
    assert rules.readable(known, default_deny=True) == Everything()
    reader = {**known, "principal.role": "reader"}
    assert rules.readable(reader, default_deny=True) != Everything()


def test_remembered_scopes_heed_caller_and_time():
    hours = {"time_between": [{"var": "request.time"}, {"start": "09:00", "end": "18:00"}]}
    mine = {"eq": [{"var": "resource.owner"}, {"var": "principal.id"}]}
    deny = AbacPolicy(
        id="p", tenant_id="t", name="n", version=1, effect="deny", resource_type="document", action="read",
        condition={"all": [hours, mine]}, priority=1, enabled=True,
    )  # fmt: skip
    rules = PolicySet.of("t", [deny]).about("document", "read")
    known = {**principal_facts(ANN), **resource_facts("document", "t", None), **request_facts("read", NOW)}
    by_day = rules.readable(known, default_deny=True)
    assert by_day == Not(OwnedBy("ann"))
    assert rules.readable(known, default_deny=True) is by_day
    assert rules.readable({**known, "principal.id": "bob"}, default_deny=True) == Not(OwnedBy("bob"))
    assert rules.readable({**known, "request.time": "20:00"}, default_deny=True) == Everything()


def test_an_invalid_stored_policy_hides_everything():
    known = {**principal_facts(ANN), **resource_facts("document", "t", None), **request_facts("read", NOW)}
    broken = AbacPolicy(
        id="p", tenant_id="t", name="n", version=1, effect="allow", resource_type="document", action="write",
        condition={"nope": 1}, priority=1, enabled=True,
    )  # fmt: skip
    rules = PolicySet.of("t", [broken])
    assert [policy.id for policy in rules.invalid()] == ["p"]
    applicable = rules.about("document", "read")
    assert applicable.readable(known, default_deny=False) == Nothing()
    assert applicable.decide(known, default_deny=False).reason == "policy_invalid"
    off = PolicySet.of("t", [attrs.evolve(broken, enabled=False)])
    assert off.about("document", "read").readable(known, default_deny=True) == Everything()


@pytest.mark.parametrize("operator", ["eq", "in"])
def test_labels_become_part_of_the_query(operator):
    value = "high" if operator == "eq" else ["high"]
    tree = parse({operator: [{"var": "resource.labels.level"}, value]}, max_bytes=999, max_depth=8)
    assert sides(tree, {}).holds == LabelIn("level", frozenset({"high"}))
    assert variables(tree) == {"resource.labels.level"}
