"""Strict bodies: literal types, a path for each error, and nothing but ``Problem`` for any JSON."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import free_json, number, text
from ragwork_kernel.base import json_codec


@attrs.frozen(kw_only=True)
class Leaf:
    name: str = text(max_length=5)
    size: int = number(default=1, ge=1, le=9)


@attrs.frozen(kw_only=True)
class Order:
    id: str
    count: int = 1
    price: float = 1.0
    paid: bool = False
    note: str | None = None
    at: datetime | None = None
    leaf: Leaf | None = None
    leaves: list[Leaf] = attrs.field(factory=list)
    extra: Mapping[str, object] = attrs.field(factory=dict)
    words: list[str] = attrs.field(factory=list)


@attrs.frozen(kw_only=True)
class ForTenant:
    tenant_id: str


def errors(value: Any, target: Any = Order) -> dict[tuple[str | int, ...], str]:
    """Path → kind of every error row."""
    with pytest.raises(Problem) as refused:
        json_codec.structure(value, target, "body")
    assert (refused.value.code, refused.value.status) == ("REQUEST_VALIDATION_ERROR", 422)
    rows: Any = refused.value.details["errors"]
    assert all({"type", "loc", "msg"} <= set(row) for row in rows)
    return {tuple(row["loc"]): row["type"] for row in rows}


def test_a_whole_body_is_structured() -> None:
    order = json_codec.structure(
        {
            "id": "a",
            "price": 2,
            "at": "2026-01-02T03:04:05+02:00",
            "leaf": {"name": "x"},
            "leaves": [{"name": "y", "size": 9}],
            "extra": {"k": [1, None]},
        },
        Order,
        "body",
    )
    assert order.price == 2.0
    assert order.leaf == Leaf(name="x")
    assert order.leaves == [Leaf(name="y", size=9)]
    assert order.extra == {"k": [1, None]}


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("count", "5", "int_type"),
        ("count", True, "int_type"),
        ("count", 1.0, "int_type"),
        ("price", "1", "float_type"),
        ("price", True, "float_type"),
        ("paid", 1, "bool_type"),
        ("paid", "true", "bool_type"),
        ("id", 5, "str_type"),
        ("id", None, "str_type"),
        ("note", 5, "str_type"),
        ("extra", [], "dict_type"),
        ("at", "2026-01-02T03:04:05", "datetime_type"),
        ("at", 1700000000, "datetime_type"),
        ("at", "yesterday", "datetime_type"),
    ],
)
def test_types_are_taken_literally(field: str, value: Any, kind: str) -> None:
    assert errors({"id": "a", field: value}) == {("body", field): kind}


def test_each_error_has_the_path_of_its_field() -> None:
    found = errors(
        {
            "count": "x",
            "leaf": {"name": "too long", "size": 10},
            "leaves": [{"name": "ok"}, {"size": 2}, {"name": "a", "shape": "round"}],
            "words": ["fine", 3],
            "surprise": 1,
        }
    )
    assert found[("body", "id")] == "missing"
    assert found[("body", "count")] == "int_type"
    assert found[("body", "leaf", "name")] == "string_too_long"
    assert found[("body", "leaves", 1, "name")] == "missing"
    assert found[("body", "leaves", 2, "shape")] == "extra_forbidden"
    assert found[("body", "words", 1)] == "str_type"
    assert found[("body", "surprise")] == "extra_forbidden"


@pytest.mark.parametrize("value", [None, [], "text", 5, True])
def test_a_body_that_is_no_object_is_refused(value: Any) -> None:
    assert errors(value) == {("body",): "dict_type"}


@pytest.mark.parametrize("value", ["t2", None, 5, {"nested": 1}])
def test_a_tenant_id_in_a_body_is_refused_by_its_own_code(value: Any) -> None:
    with pytest.raises(Problem) as refused:
        json_codec.structure({"id": "a", "tenant_id": value}, Order, "body")
    assert (refused.value.code, refused.value.status) == ("TENANT_ID_NOT_ALLOWED", 400)


def test_a_class_that_declares_tenant_id_takes_it() -> None:
    assert json_codec.structure({"tenant_id": "t1"}, ForTenant, "body") == ForTenant(tenant_id="t1")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
order_like = st.dictionaries(
    st.sampled_from([a.name for a in attrs.fields(Order)]) | st.text(max_size=6), json_values, max_size=6
)


@given(value=json_values | order_like)
def test_any_json_gives_an_order_or_a_problem_whose_details_are_json(value: Any) -> None:
    try:
        assert isinstance(json_codec.structure(value, Order, "body"), Order)
    except Problem as problem:
        json_codec.dumps(problem.details)


def test_a_refusal_names_twenty_errors_and_counts_the_rest() -> None:
    with pytest.raises(Problem) as refused:
        json_codec.structure({"id": "a", "words": [1] * 60}, Order, "body")
    rows: Any = refused.value.details["errors"]
    assert (len(rows), refused.value.details["more_errors"]) == (20, 40)


@pytest.mark.parametrize(
    ("count", "kinds"), [(8, {"extra_forbidden", "missing"}), (60_000, {"extra_forbidden"})]
)
def test_unknown_fields_are_counted_and_a_few_are_named(count: int, kinds: set[str]) -> None:
    with pytest.raises(Problem) as refused:
        json_codec.structure({f"k{n:05}" + "x" * 300: n for n in range(count)}, Order, "body")
    rows: Any = refused.value.details["errors"]
    assert {row["type"] for row in rows} == kinds
    unknown = [row for row in rows if row["type"] == "extra_forbidden"]
    assert [row["loc"][1][:6] for row in unknown[:-1]] == [f"k{n:05}" for n in range(5)]
    assert unknown[-1]["msg"] == f"and {count - 5} more fields that are none here"
    assert len(json_codec.dumps(refused.value.details)) < 4_000


@pytest.mark.parametrize("place", ["words", "leaves"])
def test_a_list_is_counted_before_it_is_looked_at(place: str) -> None:
    class Untouched(list[object]):
        def __iter__(self) -> Any:
            raise AssertionError("was looked at")

    assert errors({"id": "a", place: Untouched([1] * 101)}) == {("body", place): "list_length"}


def test_whole_numbers_fit_into_eight_bytes() -> None:
    assert json_codec.structure({"id": "a", "count": 2**63 - 1}, Order, "body").count == 2**63 - 1
    for beyond in (2**63, -(2**63) - 1):
        assert errors({"id": "a", "count": beyond}) == {("body", "count"): "int_range"}


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("9999-12-31T23:59:59.9999999Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("1900-01-01T00:00:00Z", datetime(1900, 1, 1, tzinfo=UTC)),
        ("2026-01-02T03:04:05+02:00", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("9999-12-31T20:00:00-05:00", None),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("1899-12-31T23:59:59Z", None),
    ],
)
def test_times_are_kept_in_utc_within_years_that_can_be_kept(text: str, stored: datetime | None) -> None:
    if stored is None:
        assert errors({"id": "a", "at": text}) == {("body", "at"): "datetime_range"}
    else:
        order = json_codec.structure({"id": "a", "at": text}, Order, "body")
        assert order.at is not None
        assert (order.at, order.at.tzinfo) == (stored, UTC)


@given(raw=st.text(max_size=30), target=st.sampled_from([int, bool, str, float, int | None, datetime]))
def test_any_query_text_is_decoded_or_left_for_the_validator(raw: str, target: Any) -> None:
    value = json_codec.query_value(raw, target)
    assert value == raw or type(value) in (int, bool)


@given(
    at=st.datetimes(
        datetime(1900, 1, 2),
        datetime(9999, 12, 30),
        timezones=st.builds(timezone, st.integers(-23, 23).map(lambda h: timedelta(hours=h))),
    )
)
def test_times_keep_their_instant_over_the_wire(at: datetime) -> None:
    sent = orjson.loads(json_codec.dumps({"at": at}))["at"]
    order = json_codec.structure({"id": "a", "at": sent}, Order, "body")
    assert order.at == at
    assert order.at is not None
    assert order.at.tzinfo is not None


def test_times_leave_with_their_offset() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert json_codec.dumps(Order(id="a", at=at)).find(b'"2026-01-02T03:04:05+00:00"') > 0


def test_a_long_input_is_not_echoed_whole() -> None:
    with pytest.raises(Problem) as refused:
        json_codec.structure({"name": "x" * 100_000}, Leaf, "body")
    assert len(json_codec.dumps(refused.value.details)) < 1000


@attrs.frozen(kw_only=True)
class Free:
    anything: dict[str, Any] | None = None
    several: list[dict[str, Any]] | None = None
    large: dict[str, Any] | None = free_json(default=None, max_bytes=40_000)
    words: str | None = None


def test_json_of_any_form_is_measured_and_a_field_may_take_more() -> None:
    fits = {"k": "x" * (16_384 - len('{"k":""}'))}
    assert json_codec.structure({"anything": fits}, Free, "body").anything == fits
    more = {"k": fits["k"] + "x"}
    assert errors({"anything": more}, Free) == {("body", "anything"): "json_too_large"}
    assert errors({"several": [{"k": "x" * 9_000}] * 2}, Free) == {("body", "several"): "json_too_large"}
    assert json_codec.structure({"large": more}, Free, "body").large == more
    assert errors({"large": {"k": "x" * 40_000}}, Free) == {("body", "large"): "json_too_large"}


def test_a_text_without_a_bound_of_its_own_has_one() -> None:
    assert json_codec.structure({"words": "x" * 65_536}, Free, "body").words
    assert errors({"words": "x" * 65_537}, Free) == {("body", "words"): "string_too_long"}
