"""Bounded fields: what the schema promises is what the validator holds."""

import re
from typing import Any

import attrs
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_hooks.fields import SCHEMA, FieldError, choice, identifier, number, text


@attrs.frozen
class Bounded:
    name: str = text(default="abc", min_length=2, max_length=5, pattern=r"[a-z]+")
    id: str = identifier(default="a")
    count: int = number(default=1, ge=1, le=50)
    mood: str = choice("good", "bad", default="good")
    note: str | None = text(default=None, max_length=3)


def schema(field: str) -> dict[str, Any]:
    bounds = dict(attrs.fields_dict(Bounded)[field].metadata[SCHEMA])
    if "pattern" in bounds:
        # A JSON Schema pattern searches; the validator matches whole strings.
        bounds["pattern"] = f"^(?:{bounds['pattern']})\\Z"
    return bounds


def accepts(field: str, value: Any) -> bool:
    refused: FieldError | None = None
    try:
        Bounded(**{field: value})
    except FieldError as error:
        refused = error
    assert refused is None or (refused.field == field and refused.kind)
    return refused is None


@given(value=st.text(max_size=8) | st.from_regex(r"[a-z]{1,6}", fullmatch=True))
def test_text_accepts_exactly_what_its_schema_describes(value: str) -> None:
    assert accepts("name", value) == jsonschema.Draft202012Validator(schema("name")).is_valid(value)


@given(value=st.text(max_size=140) | st.from_regex(r"[A-Za-z0-9._:-]{1,140}", fullmatch=True))
def test_an_identifier_is_short_plain_and_never_starts_with_a_dot(value: str) -> None:
    wanted = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", value) is not None
    assert accepts("id", value) == wanted


@given(value=st.integers(-5, 60))
def test_a_number_accepts_exactly_what_its_schema_describes(value: int) -> None:
    assert accepts("count", value) == jsonschema.Draft202012Validator(schema("count")).is_valid(value)


def test_a_choice_takes_its_options_only() -> None:
    assert accepts("mood", "bad")
    assert not accepts("mood", "BAD")
    assert schema("mood") == {"enum": ["good", "bad"]}


@pytest.mark.parametrize("value", ["a\x00b", "\ud800", "toolong"])
def test_text_refuses_what_no_store_takes(value: str) -> None:
    assert not accepts("note", value)


def test_none_is_left_to_the_annotation() -> None:
    assert accepts("note", None)
