"""Options of the command line: each text becomes its value or one line that says what to write."""

from datetime import timedelta
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_cli.command_options import parameter, value_of
from ragwork_hooks.commands import Option, OptionType

TYPES: tuple[OptionType, ...] = ("text", "integer", "duration", "tenant", "path")


def option(kind: OptionType = "text", **more: int) -> Option:
    return Option(name="it", help="h", type=kind, **more)  # type: ignore[arg-type]  # the bounds


def test_an_option_becomes_a_parameter_of_its_kind() -> None:
    made = [
        parameter(Option(name="dry-run", help="h", flag=True)),
        parameter(Option(name="role", help="h", required=True, choices=("a", "b"))),
        parameter(Option(name="key", help="h", positional=True)),
    ]
    assert [p.name for p in made] == ["dry_run", "role", "key"]
    assert [p.required for p in made] == [False, True, False]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("text", " a b ", " a b "),
        ("integer", "007", 7),
        ("duration", "90d", timedelta(days=90)),
        ("duration", "0s", timedelta()),
        ("tenant", "acme.eu", "acme.eu"),
    ],
)
def test_a_well_formed_text_is_its_value(kind: OptionType, text: str, value: object) -> None:
    assert value_of(option(kind), text) == value


def test_what_is_repeated_is_a_tuple_however_often_it_is_given() -> None:
    command = click.Command("c", params=[parameter(Option(name="filter", help="h", repeated=True))])
    for argv, value in (
        ([], ()),
        (["--filter", "a=1"], ("a=1",)),
        (["--filter", "a", "--filter", "b"], ("a", "b")),
    ):
        assert command.make_context("c", argv).params == {"filter": value}


@pytest.mark.parametrize("positional", [False, True])
def test_what_is_required_is_asked_for(positional: bool) -> None:
    option = Option(name="tenant", help="h", required=True, positional=positional)
    with pytest.raises(click.MissingParameter, match=r"(?i)tenant"):
        click.Command("c", params=[parameter(option)]).make_context("c", [])


def test_a_value_may_begin_with_a_dash() -> None:
    command = click.Command("c", params=[parameter(Option(name="sort", help="h"))])
    assert command.make_context("c", ["--sort", "-id"]).params == {"sort": "-id"}
    with pytest.raises(click.BadOptionUsage, match="requires an argument"):
        command.make_context("c", ["--sort"])


def test_a_path_is_absolute_from_where_it_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert value_of(option("path"), "a/b.jsonl") == str(tmp_path / "a/b.jsonl")


@pytest.mark.parametrize(
    ("kind", "text", "advice"),
    [
        ("text", "", "is empty"),
        ("text", " \t", "is empty"),
        ("text", "a\x00b", "can't be printed"),
        ("text", "caf\udcc3", "can't be printed"),
        ("integer", "abc", "no whole number from 1 to 10"),
        ("integer", "11", "no whole number from 1 to 10"),
        ("integer", "1e3", "no whole number"),
        ("integer", "9" * 5000, "no whole number"),
        ("duration", "24", "write it like 90d"),
        ("duration", "1w", "write it like 90d"),
        ("duration", "-1h", "write it like 90d"),
        ("tenant", "a'; DROP", "letters, digits"),
    ],
)
def test_a_wrong_text_is_told_what_to_write(kind: OptionType, text: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        value_of(option(kind, minimum=1, maximum=10), text)


@given(st.sampled_from(TYPES), st.text())
def test_no_text_is_anything_but_a_value_or_a_usage_error(kind: OptionType, text: str) -> None:
    command = click.Command("c", params=[parameter(option(kind))])
    try:
        said = command.make_context("c", ["--it", text]).params["it"]
    except click.UsageError as error:
        said = error.format_message() if error.exit_code == 2 else None
    assert said is not None
