"""JSON is looked over in slices before it is decoded: the same values wherever a slice ends, or a refusal."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_hooks.errors import Problem
from ragwork_kernel.base import json_codec, jsontext

TEXTS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")) | st.sampled_from(
    ["\\", '\\"', "[{", "}]", "a,b", "\\\\u0000", "\\u0000", '"']
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(params=[1, 3, 7, 131_072], autouse=True)
def slices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsontext, "_SLICE", request.param)


def parse(raw: bytes) -> Any:
    return asyncio.run(jsontext.parse(raw))


def kind(raw: bytes) -> str:
    with pytest.raises(Problem) as refused:
        parse(raw)
    assert (refused.value.code, refused.value.status) == ("REQUEST_VALIDATION_ERROR", 422)
    rows: Any = refused.value.details["errors"]
    return str(rows[0]["type"])


@given(value=VALUES, ascii_only=st.booleans())
def test_values_come_through_as_they_were_written(value: Any, ascii_only: bool) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(value=VALUES)
def test_a_nul_is_found_behind_anything(value: Any) -> None:
    assert kind(json.dumps([value, "a\0"]).encode()) == "string_nul"


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b'{"a": {"b": ["x", "\\u0000"]}}', ["body", "a", "b", 1]),
        (b'{"a": {"b\\u0000": 1}}', ["body", "a", "b\0"]),
        (b'"\\\\\\u0000"', ["body"]),
    ],
)
def test_a_refused_nul_is_shown_where_it_stands(raw: bytes, path: list[str | int]) -> None:
    with pytest.raises(Problem) as refused:
        parse(raw)
    rows: Any = refused.value.details["errors"]
    assert rows[0]["loc"] == path


@given(raw=st.binary(max_size=200))
def test_any_bytes_give_json_or_a_problem(raw: bytes) -> None:
    try:
        parse(raw)
    except Problem as problem:
        json_codec.dumps(problem.details)


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b'"\\ud800"', b"NaN", b"1e999", b"{} {}", b"'x'", b"9" * 400, b"]" * 70]
)
def test_what_is_not_json_is_a_problem(raw: bytes) -> None:
    assert kind(raw) == "json_invalid"


def test_a_byte_order_mark_is_skipped_once() -> None:
    assert parse(jsontext.BOM + b"[1]") == [1]
    assert kind(jsontext.BOM * 2 + b"[1]") == "json_invalid"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_nesting_ends_where_it_could_not_be_encoded_again(opening: bytes, closing: bytes) -> None:
    def nested(levels: int) -> bytes:
        return opening * levels + b"1" + closing * levels

    assert json_codec.dumps(parse(nested(jsontext.MAX_DEPTH)))
    assert kind(nested(jsontext.MAX_DEPTH + 1)) == "too_deep"
    assert kind(nested(5_000)) == "too_deep"


@pytest.mark.parametrize("piece", [b"1,", b"[],", b'"a,b[",'])
def test_values_are_counted_before_they_are_made(piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsontext, "MAX_VALUES", 200)
    assert len(parse(b"[" + piece * 80 + b"1]")) == 81
    assert kind(b"[" + piece * 400 + b"1]") == "too_many_values"
