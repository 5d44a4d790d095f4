"""Bounded fields for request and response classes.

One declaration serves the validator and the OpenAPI schema, so the two can't differ. The JSON
Schema keywords stand in the field's metadata under ``SCHEMA``.
"""

import re
from collections.abc import Callable
from typing import Any, Final

import attrs

SCHEMA: Final = "ragwork.schema"
#: What a list and the texts in it take when nothing else is said.
MAX_ITEMS: Final = 100
MAX_ITEM_LENGTH: Final = 1000
#: What a text takes when nothing is said, in characters, and JSON of any form, in encoded bytes.
MAX_TEXT: Final = 65_536
MAX_JSON: Final = 16_384
#: Whole numbers that are taken: those that a column of eight bytes holds.
INT_RANGE: Final = (-(2**63), 2**63 - 1)
#: The schema's keyword for the bytes of JSON; JSON Schema has none.
JSON_BYTES: Final = "x-maxBytes"
_UNSET: Final = attrs.NOTHING


# What has no picture of its own: controls, spaces, formatting and joining characters, fillers, selectors, tags, marks
# without a letter, lone surrogates.
_VISIBLE: Final = re.compile(
    r"[^\s\x00-\x1f\x7f-\xa0\xad\u0300-\u036f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u1ab0-\u1aff"
    r"\u1dc0-\u1dff\u2000-\u200f\u2028-\u202f\u205f-\u206f\u20d0-\u20ff\u2800\u3000\u3164\ud800-\udfff\ufe00-\ufe0f"
    r"\ufe20-\ufe2f\ufeff\uffa0\ufff0-\ufffc\ufffe\uffff\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d159"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def is_visible(text: str) -> bool:
    """Whether anything of ``text`` can be seen: not when it is all white space, controls or zero width."""
    return _VISIBLE.search(text) is not None


def wire_name(field: str) -> str:
    """A field's name outside: a trailing underscore only keeps it from being a keyword of Python (``from_``)."""
    return field.removesuffix("_")


class FieldError(ValueError):
    """A value breaks its declared bound. ``kind`` follows the contract's error types; ``field`` is the
    attribute whose validator refused, when one did.
    """

    field: str | None = None

    def __init__(self, kind: str, message: str, **context: object) -> None:
        super().__init__(message)
        self.kind = kind
        self.context = context


def text(
    *,
    default: Any = _UNSET,
    min_length: int = 0,
    max_length: int,
    pattern: str | None = None,
    visible: bool = False,
) -> Any:
    """A string of ``min_length`` to ``max_length`` characters without NUL or lone surrogates, with ``visible``
    one that shows something.
    """
    schema: dict[str, object] = {"minLength": min_length, "maxLength": max_length}
    if pattern is not None:
        schema["pattern"] = f"^(?:{pattern})$" if "|" in pattern else f"^{pattern}$"
    compiled = re.compile(pattern) if pattern else None

    def check(value: Any) -> None:
        if len(value) < min_length:
            raise FieldError("string_too_short", f"needs at least {min_length} characters")
        if len(value) > max_length:
            raise FieldError(
                "string_too_long", f"has {len(value)} characters, at most {max_length} are taken"
            )
        if "\x00" in value:
            raise FieldError("string_nul", "must not contain NUL characters")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise FieldError("string_unicode", "must not contain lone surrogates") from None
        if visible and not is_visible(value):
            raise FieldError("string_blank", "must not be blank: it has no visible character")
        if compiled and not compiled.fullmatch(value):
            raise FieldError("string_pattern_mismatch", f"must match {pattern}")

    return _field(default, schema, check)


def identifier(*, default: Any = _UNSET) -> Any:
    """An id that a client may choose: 1 to 128 letters, digits, ``. _ : -``, starting with a letter or digit."""
    return text(default=default, min_length=1, max_length=128, pattern=r"[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}")


def number(*, default: Any = _UNSET, ge: float | None = None, le: float | None = None) -> Any:
    """An int or float (as annotated) within ``ge`` and ``le``, both inclusive."""
    schema = {k: v for k, v in (("minimum", ge), ("maximum", le)) if v is not None}

    def check(value: Any) -> None:
        if ge is not None and not value >= ge:
            raise FieldError("greater_than_equal", f"must be {ge} or more", ge=ge)
        if le is not None and not value <= le:
            raise FieldError("less_than_equal", f"must be {le} or less", le=le)

    return _field(default, dict(schema), check)


def choice(*options: str, default: Any = _UNSET) -> Any:
    """A string that is one of ``options``."""

    def check(value: Any) -> None:
        if value not in options:
            raise FieldError("literal_error", f"must be one of {', '.join(options)}")

    return _field(default, {"enum": list(options)}, check)


def items(
    *,
    default: Any = _UNSET,
    min_items: int = 0,
    max_items: int = MAX_ITEMS,
    max_length: int = MAX_ITEM_LENGTH,
    max_bytes: int = MAX_JSON,
) -> Any:
    """A list of ``min_items`` to ``max_items`` entries, texts among them of at most ``max_length`` characters.

    The upper bound is checked before the entries are looked at. ``max_bytes`` bounds the encoded list when its
    entries are JSON of any form.
    """

    def check(value: Any) -> None:
        if not min_items <= len(value) <= max_items:
            raise FieldError("list_length", f"has {len(value)} entries, {min_items} to {max_items} are taken")
        for index, item in enumerate(value):
            if isinstance(item, str) and len(item) > max_length:
                raise FieldError(
                    "string_too_long",
                    f"entry {index} has {len(item)} characters, at most {max_length} are taken",
                )

    bounds: dict[str, object] = {"minItems": min_items, "maxItems": max_items}
    schema = {**bounds, "items": {"maxLength": max_length}}
    return _field(default, {**schema, JSON_BYTES: max_bytes} if max_bytes != MAX_JSON else schema, check)


def free_json(*, default: Any = _UNSET, max_bytes: int) -> Any:
    """JSON of any form (as annotated), at most ``max_bytes`` long when encoded; a field that is not declared
    takes ``MAX_JSON``.
    """
    return attrs.field(default=default, kw_only=True, metadata={SCHEMA: {JSON_BYTES: max_bytes}})


def _field(default: Any, schema: dict[str, object], check: Callable[[Any], None]) -> Any:
    def validator(_instance: object, attribute: Any, value: Any) -> None:
        if value is None:
            return
        try:
            check(value)
        except FieldError as error:
            error.field = attribute.name
            raise

    return attrs.field(default=default, kw_only=True, validator=validator, metadata={SCHEMA: schema})
