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
from ragwork_hooks.fields import number, text
from ragwork_kernel import codec


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
        codec.structure(value, target, "body")
    assert (refused.value.code, refused.value.status) == ("REQUEST_VALIDATION_ERROR", 422)
    rows: Any = refused.value.details["errors"]
    assert all({"type", "loc", "msg"} <= set(row) for row in rows)
    return {tuple(row["loc"]): row["type"] for row in rows}


def test_a_whole_body_is_structured() -> None:
    order = codec.structure(
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
        codec.structure({"id": "a", "tenant_id": value}, Order, "body")
    assert (refused.value.code, refused.value.status) == ("TENANT_ID_NOT_ALLOWED", 400)


def test_a_class_that_declares_tenant_id_takes_it() -> None:
    assert codec.structure({"tenant_id": "t1"}, ForTenant, "body") == ForTenant(tenant_id="t1")


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b'"\\ud800"', b"NaN", b"[" * 5000, b"{} {}", b"'x'"])
def test_what_is_not_json_is_a_problem(raw: bytes) -> None:
    with pytest.raises(Problem) as refused:
        codec.parse(raw)
    assert refused.value.status == 422


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
        assert isinstance(codec.structure(value, Order, "body"), Order)
    except Problem as problem:
        codec.dumps(problem.details)


@given(raw=st.binary(max_size=200))
def test_any_bytes_give_json_or_a_problem(raw: bytes) -> None:
    try:
        codec.parse(raw)
    except Problem as problem:
        codec.dumps(problem.details)


@given(raw=st.text(max_size=30), target=st.sampled_from([int, bool, str, float, int | None, datetime]))
def test_any_query_text_is_decoded_or_left_for_the_validator(raw: str, target: Any) -> None:
    value = codec.query_value(raw, target)
    assert value == raw or type(value) in (int, bool)


@given(at=st.datetimes(timezones=st.builds(timezone, st.integers(-23, 23).map(lambda h: timedelta(hours=h)))))
def test_times_keep_their_instant_over_the_wire(at: datetime) -> None:
    sent = orjson.loads(codec.dumps({"at": at}))["at"]
    order = codec.structure({"id": "a", "at": sent}, Order, "body")
    assert order.at == at
    assert order.at is not None
    assert order.at.tzinfo is not None


def test_times_leave_with_their_offset() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert codec.dumps(Order(id="a", at=at)).find(b'"2026-01-02T03:04:05+00:00"') > 0


def test_a_long_input_is_not_echoed_whole() -> None:
    with pytest.raises(Problem) as refused:
        codec.structure({"name": "x" * 100_000}, Leaf, "body")
    assert len(codec.dumps(refused.value.details)) < 1000
