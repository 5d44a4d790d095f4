"""What counts as a visible character."""

import unicodedata

import attrs
import pytest
from ragwork_hooks import fields
from ragwork_hooks.fields import FieldError, is_visible

#: Format characters that are drawn: signs which span the digits after them.
DRAWN = {0x600, 0x601, 0x602, 0x603, 0x604, 0x605, 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}


def test_controls_spaces_formats_and_surrogates_show_nothing():
    hidden = [
        code
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp") and code not in DRAWN
    ]
    assert [hex(code) for code in hidden if is_visible(chr(code))] == []
    assert not is_visible("".join(map(chr, hidden)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \t\r\n",
        "\u200b\u200b",
        "\ufeff",
        "\u00ad",
        "\u3164\uffa0\u115f\u1160",
        "\u2800\u2800",
        "\ufe0f\ufe00\U000e0100",
        "\u034f\u2060\u2063",
        "\u0301\u0308",
        "\U000e0041\U000e007f",
        "\ufffc",
        "\x00\x1b\x7f",
    ],
)
def test_blank_texts(text):
    assert not is_visible(text)


@pytest.mark.parametrize(
    "text",
    ["a", "0", ".", "\u00e9", "e\u0301", "\u4e2d", "\u0645", "\u0915\u094d", "\U0001f600", "\u200b\u2060-"],
)
def test_texts_that_show_something(text):
    assert is_visible(text)


def test_a_visible_field_refuses_what_shows_nothing():
    @attrs.frozen(kw_only=True)
    class Asked:
        query: str = fields.text(min_length=1, max_length=10, visible=True)

    assert Asked(query=" a ").query == " a "
    with pytest.raises(FieldError, match="no visible character") as refused:
        Asked(query=" \u200b")
    assert (refused.value.kind, refused.value.field) == ("string_blank", "query")
