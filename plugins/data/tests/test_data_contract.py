"""The parser ``data`` keeps the contract of kind ``parser``, and reads what programs write."""

import csv
import io
import json

import pytest
from ragwork_data.data_parser import CSV, JSON, JSON_LINES, NOTEBOOK, TSV, DataParser
from ragwork_data.separated_values import _delimiter
from ragwork_hooks.parsing import Parsed, ParseError, ParseLimits, Parser, SourceFile
from ragwork_testkit.parser import ParserContract, Sample

BOOK = {
    "nbformat": 4,
    "metadata": {"title": "Locks", "authors": [{"name": "Ada"}, {"name": "Eve"}]},
    "cells": [
        {"cell_type": "markdown", "source": ["# Gates\n", "\n", "About *gates*."]},
        {
            "cell_type": "code",
            "source": "print(1)",
            "outputs": [
                {"output_type": "stream", "text": ["1\n"]},
                {"output_type": "display_data", "data": {"image/png": "aaaa"}},
                {"output_type": "execute_result", "data": {"text/plain": ["<Gate>"]}},
            ],
        },
        {"cell_type": "raw", "source": "raw text"},
    ],
}


class TestDataParser(ParserContract):
    samples = (
        Sample("gates.csv", "name;owner\nload;Ada, Bob\nsoak;Jürgen\n".encode("cp1252"), "Jürgen"),
        Sample("gates.tsv", b"name\towner\nload\tAda\n", "load | Ada"),
        Sample(
            "gates.json", json.dumps({"gates": [{"name": "load", "owner": "Ada"}]}).encode(), "load | Ada"
        ),
        Sample("gates.jsonl", b'\xef\xbb\xbf{"name": "load"}\n\n{"name": "soak"}\n', "soak"),
        Sample("gates.ipynb", json.dumps(BOOK).encode(), "About *gates*."),
    )

    async def make(self) -> Parser:
        return DataParser()


def parse(text: str, media_type: str, **limits: int) -> Parsed:
    source = SourceFile(data=text.encode(), media_type=media_type, limits=ParseLimits(**limits))
    return DataParser().parse(source)


def test_rows_have_the_names_of_their_columns_and_their_cells() -> None:
    made = io.StringIO()
    rows = [["id", "said, by"], ["1", 'a "quoted"\nline'], ["", ""], ["2", "b;c"]]
    csv.writer(made).writerows(rows)
    assert [(b.kind, b.text, b.columns, b.cells) for b in parse(made.getvalue(), CSV).blocks] == [
        ("table_row", '1 | a "quoted" line', ("id", "said, by"), "A2:B2"),
        ("table_row", "2 | b;c", ("id", "said, by"), "A4:B4"),
    ]


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ('a,b\n"x, y",1\n', ","),
        ("a;b\n1,5;2,5\n3,5;4,5\n", ";"),
        ("a\tb\n1, 2\t3\n", "\t"),
        ("a|b|c\n1|2|3\n", "|"),
        ("name,text\nx,one; two; three\ny,four; five\n", ","),
        ('"a;b";"c"\n"d";"e;f"\n', ";"),
        ("a,b,c\n1,2\n3,4,5\n6,7,8\n", ","),
    ],
)
def test_the_delimiter_is_that_which_cuts_evenly(text: str, delimiter: str) -> None:
    assert _delimiter(text) == delimiter


def test_a_first_row_of_values_names_nothing() -> None:
    assert [(b.text, b.columns, b.cells) for b in parse("load,17\nsoak,4\n", CSV).blocks] == [
        ("load | 17", (), "A1:B1"),
        ("soak | 4", (), "A2:B2"),
    ]
    assert parse("only\nnames\n", CSV).blocks[0].columns == ("only",)
    assert parse("a,b\n", CSV).blocks[0].text == "a | b"
    assert parse("sep=|\na,b|c\n1|2\n", CSV).blocks[0].columns == ("a,b", "c")
    assert parse("a,b\tc\n1\t2\n", TSV).blocks[0].columns == ("a,b", "c")


def test_json_is_read_by_its_keys() -> None:
    value = {
        "title": "Gates",
        "open": True,
        "none": None,
        "load": {"owner": "Ada", "hosts": ["a", "b"], "note": "one\n\ntwo"},
        "all": [{"n": 1, "x": "a"}, {"n": 2.5, "y": "b"}],
        "mixed": [{"deep": {"er": 1}}, "text"],
    }
    parsed = parse(json.dumps(value), JSON)
    assert parsed.title == "Gates"
    assert [(b.kind, b.text, b.headings) for b in parsed.blocks if b.kind != "heading"] == [
        ("paragraph", "title: Gates\nopen: true", ()),
        ("paragraph", "owner: Ada", ("load",)),
        ("list", "a\nb", ("load", "hosts")),
        ("paragraph", "one", ("load", "note")),
        ("paragraph", "two", ("load", "note")),
        ("table_row", "1 | a | ", ("all",)),
        ("table_row", "2.5 |  | b", ("all",)),
        ("paragraph", "er: 1", ("mixed", "deep")),
        ("paragraph", "text", ("mixed",)),
    ]


def test_a_notebook_is_read_cell_by_cell() -> None:
    parsed = parse(json.dumps(BOOK), NOTEBOOK)
    assert (parsed.title, parsed.author) == ("Locks", "Ada, Eve")
    assert [(b.kind, b.text.strip(), b.headings) for b in parsed.blocks] == [
        ("heading", "# Gates", ()),
        ("paragraph", "About *gates*.", ("Gates",)),
        ("code", "print(1)", ("Gates",)),
        ("code", "1", ("Gates",)),
        ("code", "<Gate>", ("Gates",)),
        ("paragraph", "raw text", ("Gates",)),
    ]
    assert parsed.warnings == ["1 outputs of cells are images or too long, and were left out"]


@pytest.mark.parametrize(
    ("text", "media_type", "limits", "code", "said"),
    [
        ("{", JSON, {}, "corrupt", "is no JSON"),
        ('{"a": 1}\n{"a": \n', JSON_LINES, {}, "corrupt", "Line 2"),
        ("[" * 100_000, JSON, {}, "resource_limit", "nested too deeply"),
        ('{"a": ' * 300 + "1" + "}" * 300, JSON, {}, "resource_limit", "200 values in each other"),
        ("a,b\n" + "1,2\n" * 11, CSV, {"rows": 10}, "resource_limit", "more than 10 rows"),
        (",".join(f"c{n}" for n in range(2_000)) + "\n" + ",".join("12" * 1_000), CSV, {}, "resource_limit", "columns"),
        ("a\n" + "x" * 11, CSV, {"characters": 10}, "resource_limit", "more than 10 characters"),
    ],
)  # fmt: skip
def test_what_is_broken_or_too_much_is_said(
    text: str, media_type: str, limits: dict[str, int], code: str, said: str
) -> None:
    with pytest.raises(ParseError) as refused:
        parse(text, media_type, **limits)
    assert (refused.value.code, said in refused.value.message) == (code, True), refused.value.message
