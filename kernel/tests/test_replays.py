"""What makes two requests the same: their meaning, not their spelling."""

import json
from collections.abc import Mapping
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_hooks.http import Empty, Upload
from ragwork_kernel.base import json_codec
from ragwork_kernel.request.idempotency import payload_hash


@attrs.frozen(kw_only=True)
class Body:
    text: str
    weight: float = 1.0
    labels: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Sent:
    """As much of a call as its hash looks at."""

    body: object
    query: object = Empty()


def hash_of(raw: bytes) -> bytes:
    return payload_hash(Sent(json_codec.structure(orjson.loads(raw), Body, "body")))  # type: ignore[arg-type]


@given(st.sampled_from([None, 1, 4]), st.booleans(), st.booleans(), st.permutations(["text", "labels"]))
def test_spacing_order_escapes_and_defaults_do_not_matter(
    indent: int | None, ascii_only: bool, spelled_out: bool, order: list[str]
) -> None:
    body: dict[str, object] = {"text": "gr\u00fcn", "labels": {"b": [1, 2], "a": None}}
    said = {name: body[name] for name in order} | ({"weight": 1} if spelled_out else {})
    raw = json.dumps(said, indent=indent, ensure_ascii=ascii_only).encode()
    assert hash_of(raw) == hash_of(json.dumps(body).encode())


@pytest.mark.parametrize(
    "changed",
    [
        {"text": "grun"},
        {"text": "gr\u00fcn", "weight": 2},
        {"text": "gr\u00fcn", "labels": {"a": 1}},
        {"text": "gr\u00fcn", "labels": {"a": 1.0}},
    ],
)
def test_a_changed_value_is_another_request(changed: dict[str, object]) -> None:
    assert hash_of(json.dumps(changed).encode()) != hash_of(json.dumps({"text": "gr\u00fcn"}).encode())


def test_a_file_counts_by_its_content_and_name() -> None:
    def of(data: bytes, name: str = "a.txt") -> bytes:
        upload = Upload(filename=name, content_type="text/plain", data=data)
        return payload_hash(Sent({"file": upload}))  # type: ignore[arg-type]

    assert of(b"one") == of(b"one")
    assert len({of(b"one"), of(b"two"), of(b"one", "b.txt")}) == 3
