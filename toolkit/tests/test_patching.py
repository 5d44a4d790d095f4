"""A change says what it changes: what is left out stays, null is a value only where it is declared."""

import attrs
import pytest
from ragwork_hooks.errors import Problem
from ragwork_hooks.fields import SCHEMA, FieldError, number, text
from ragwork_kernel.base import json_codec
from ragwork_toolkit.patching import UNSET, changes, optional


@attrs.frozen(kw_only=True)
class LimitPatch:
    limit: int | None = optional(number(ge=0, le=9))
    ratio: float = optional(number(ge=0, le=1))
    hard: bool = optional(attrs.field())


@attrs.frozen(kw_only=True)
class NamePatch:
    name: str | None = text(default=None, max_length=9)
    tags: list[str] | None = None


def limits(**said: object) -> dict[str, object]:
    return dict(changes(json_codec.structure(said, LimitPatch, "body")))


def test_only_what_is_named_changes() -> None:
    assert limits() == {}
    assert limits(ratio=0.5) == {"ratio": 0.5}
    assert limits(limit=0, hard=False) == {"limit": 0, "hard": False}
    assert changes(NamePatch(name="")) == {"name": ""}


def test_null_is_a_value_where_it_is_declared_and_refused_where_it_is_not() -> None:
    assert limits(limit=None) == {"limit": None}
    for field in ("ratio", "hard"):
        with pytest.raises(Problem) as refused:
            limits(**{field: None})
        assert refused.value.status == 422


def test_null_keeps_what_is_there_where_the_default_is_null() -> None:
    assert changes(NamePatch(name=None, tags=None)) == {}
    assert changes(NamePatch(tags=[])) == {"tags": []}


@pytest.mark.parametrize("wrong", [{"limit": -1}, {"limit": 10}, {"ratio": 1.1}])
def test_the_bounds_of_the_field_hold_and_are_described(wrong: dict[str, float]) -> None:
    with pytest.raises(FieldError) as refused:
        LimitPatch(**wrong)  # type: ignore[arg-type]
    assert refused.value.field == next(iter(wrong))
    assert attrs.fields(LimitPatch).limit.metadata[SCHEMA] == {"minimum": 0, "maximum": 9}


def test_what_is_left_out_has_a_json_form() -> None:
    assert LimitPatch().limit is UNSET
    assert json_codec.dumps(LimitPatch()) == b'{"limit":"unset","ratio":"unset","hard":"unset"}'
