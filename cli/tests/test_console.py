"""What commands print: tables for people, the same rows as JSON for programs."""

import json
from datetime import UTC, datetime

import pytest
from ragwork_cli.console import TerminalConsole

ROWS = [
    {
        "id": "a1",
        "last_used_at": datetime(2026, 11, 30, 2, 5, 9, tzinfo=UTC),
        "reason": "one\ntwo",
        "hidden": 1,
    },
    {"id": "b", "last_used_at": None, "reason": "", "hidden": 2},
]


def test_a_table_has_headers_dates_and_one_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    TerminalConsole(json=False).table(ROWS, ("id", "last_used_at", "reason"), "none")
    assert capsys.readouterr().out.splitlines() == [
        "ID  LAST USED AT       REASON",
        "a1  2026-11-30 02:05Z  one two",
        "b   -                  -",
    ]


def test_a_table_without_rows_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    TerminalConsole(json=False).table([], ("id",), "no keys")
    assert capsys.readouterr().out == "no keys\n"


def test_with_json_every_field_of_the_rows_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    TerminalConsole(json=True).table(ROWS, ("id",), "none")
    printed = json.loads(capsys.readouterr().out)
    assert [row["hidden"] for row in printed] == [1, 2]
    assert printed[0]["last_used_at"] == "2026-11-30T02:05:09+00:00"
