"""What is taken as a condition, what is refused, where, and how fast."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_abac.attributes import DECLARED, is_declared
from ragwork_abac.conditions import ConditionError, parse
from ragwork_abac.policies import AbacPolicy, parsed_policy

LIMITS = {"max_bytes": 16_384, "max_depth": 8}


def fault(condition, **limits):
    with pytest.raises(ConditionError) as caught:
        parse(condition, **{**LIMITS, **limits})
    return caught.value


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"eq": [{"var": "resource.labels.sensitivity"}, "high"]},
        {
            "all": [
                {"eq": [{"var": "principal.role"}, "editor"]},
                {"time_between": [{"var": "request.time"}, {"start": "09:00", "end": "18:00"}]},
            ]
        },
        {"eq": {"field": "principal.role", "value": "editor"}},
        {"not_in": {"left": {"var": "resource.owner"}, "right": ["a", "b"]}},
        {"contains": [{"var": "principal.groups"}, "legal"]},
        {"date_between": [{"var": "request.time"}, {"start": "2026-01-01", "end": "2026-12-31"}]},
        {"time_between": [{"var": "request.time"}, {"start": "22:00", "end": "06:00:30"}]},
        {"not": {"any": [{"eq": [1, 1.0]}, {"ne": [True, False]}]}},
        {"starts_with": [{"var": "resource.labels.a.b c"}, "x"]},
    ],
)
def test_the_contracts_forms_are_taken(condition):
    parse(condition, **LIMITS)


@pytest.mark.parametrize(
    ("condition", "path"),
    [
        ({"equals": [1, 1]}, ("equals",)),
        ({"eq": [1, 1], "ne": [1, 2]}, ()),
        ({"eq": [1]}, ("eq",)),
        ({"eq": [1, 2, 3]}, ("eq",)),
        ({"eq": {"left": 1}}, ("eq",)),
        ({"eq": {"field": 3, "value": 1}}, ("eq", "field")),
        ({"eq": [None, 1]}, ("eq", 0)),
        ({"eq": [[1], 1]}, ("eq", 0)),
        ({"eq": [{"var": "principal.role", "default": "admin"}, "admin"]}, ("eq", 0)),
        ({"eq": [1, {"value": 1}]}, ("eq", 1)),
        ({"eq": ["a\x00", "b"]}, ("eq", 0)),
        ({"in": [{"var": "principal.id"}, ["a", ["b"]]]}, ("in", 1, 1)),
        ({"all": []}, ("all",)),
        ({"all": "eq"}, ("all",)),
        ({"all": [{}, {"any": [{"nope": 1}]}]}, ("all", 1, "any", 0, "nope")),
        ({"not": [{}]}, ("not",)),
        ({"not": None}, ("not",)),
        ({"time_between": [{"var": "request.time"}, {"start": "9:00", "end": "18:00"}]}, ("time_between", 1, "start")),
        ({"time_between": [{"var": "request.time"}, {"start": "٠٩:00", "end": "18:00"}]}, ("time_between", 1, "start")),
        ({"time_between": [{"var": "request.time"}, {"start": "09:00", "end": "09:00"}]}, ("time_between", 1)),
        ({"time_between": [{"var": "request.time"}, {"start": "09:00"}]}, ("time_between", 1)),
        ({"date_between": ["x", {"start": "2026-02-30", "end": "2026-03-01"}]}, ("date_between", 1)),
        ({"date_between": ["x", {"start": "2026-03-02", "end": "2026-03-01"}]}, ("date_between", 1)),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_where_it_stands(condition, path):
    found = fault(condition)
    assert found.path == path
    assert not found.too_complex


def nested(depth):
    condition = {}
    for _ in range(depth - 1):
        condition = {"not": condition}
    return condition


def test_depth_and_size_have_exact_limits():
    parse(nested(8), **LIMITS)
    assert fault(nested(9)).too_complex
    fits = {"eq": ["", "x" * (100 - len('{"eq":["",""]}'))]}
    parse(fits, max_bytes=100, max_depth=8)
    assert fault(fits, max_bytes=99).too_complex


@pytest.mark.parametrize(
    "condition",
    [
        nested(5_000),
        {"all": [{}] * 1_000_000},
        {"in": [{"var": "principal.id"}, ["x"] * 1_000_000]},
        {"eq": [{"var": "principal.id"}, "x" * 1_048_576]},
        {"eq": [{"var": "." * 1_000}, 1]},
        {"eq": ["\ud800", "x"]},
        {"x" * 1_048_576: 1},
    ],
    ids=["deep", "wide", "list", "text", "dots", "surrogate", "name"],
)
def test_huge_conditions_are_refused_before_they_cost(condition):
    best = min(_seconds(condition) for _ in range(5))
    assert best < 0.020


def _seconds(condition):
    started = time.perf_counter()
    with pytest.raises(ConditionError):
        parse(condition, **LIMITS)
    return time.perf_counter() - started


@pytest.mark.parametrize(
    "path",
    [
        "__class__", "principal.__class__", "principal", "principal.", "principal..id", "principal.id.x",
        "resource.labels", "resource.labels.", "resource.0", "request.headers",
        "principal.role ", "PRINCIPAL.role", "principal.r\u043ele",
        "." * 1_000, "resource.labels.\n", "resource.labels." + "x" * 129, "resource.labels['x']", "",
    ],
)  # fmt: skip
def test_only_declared_attributes_can_be_named(path):
    assert fault({"eq": [{"var": path}, "x"]}).path == ("eq", 0)


@given(
    st.text(max_size=60) | st.from_regex(r"(principal|resource|request)(\.[a-z_]{0,9}){0,3}", fullmatch=True)
)
def test_no_other_path_is_ever_declared(path):
    label = path.removeprefix("resource.labels.")
    is_label = label != path and label and not any(ord(c) < 32 or ord(c) == 127 for c in label)
    assert is_declared(path) == bool(path in DECLARED or is_label)


@pytest.mark.parametrize("kind", ["corpus", "run", "admin", "ops", "audit"])
@pytest.mark.parametrize(
    "name", ["resource.id", "resource.owner", "resource.permissions", "resource.labels.x"]
)
def test_documents_attributes_are_refused_elsewhere(kind, name):
    policy = AbacPolicy(
        id="p", tenant_id="t", name="n", version=1, effect="deny", resource_type=kind, action="read",
        condition={"not": {"eq": [{"var": name}, "x"]}}, priority=0, enabled=True,
    )  # fmt: skip
    with pytest.raises(ConditionError, match="documents alone"):
        parsed_policy(policy, **LIMITS)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=True) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["all", "any", "not", "eq", "in", "gt", "contains", "var", "left", "right", "field", "value",
                         "time_between", "start", "end", "x"]), inner, max_size=2),
    max_leaves=20,
)  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(["all", "not", "eq", "in", "gt", "time_between", "x"]), json_values, max_size=2
    )
)
def test_any_json_is_taken_or_refused_and_never_breaks(condition):
    with contextlib.suppress(ConditionError):
        parse(condition, **LIMITS)
