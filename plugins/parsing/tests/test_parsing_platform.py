"""A platform offers ``DocumentParsing`` with every parser that is enabled, and says why where it can't."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.parsing import DocumentParsing, ParseError
from ragwork_testkit.platform import Running

Platform = Callable[..., AbstractAsyncContextManager[Running]]


async def test_a_platform_parses_files(platform: Platform) -> None:
    async with platform(plugins=("parsing",)) as app:
        service = app.platform.facades["parsing"].use(DocumentParsing)
        assert (await service.accepts())["text/markdown"] == [".markdown", ".md"]
        parsed = await service.parse("t1", b"# Gates\n\nlow tide", "a.md", "application/octet-stream")
        assert (parsed.title, parsed.media_type) == ("Gates", "text/markdown")
        assert (await service.media_type("t1", b"text", "", "")) == "text/plain"
        with pytest.raises(ParseError):
            await service.parse("t1", b"\x00", "a.bin", "")
        assert 'name="parsing.processes"' in app.platform.telemetry.expose().decode()


async def test_where_nothing_can_be_confined_the_plugin_is_inactive_and_says_why(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragwork_parsing.sandbox.confinement._has_seccomp", lambda: False)
    monkeypatch.setattr("ragwork_parsing.sandbox.confinement._namespaces_allowed", lambda: False)
    async with platform(plugins=("parsing",)) as app:
        assert "neither seccomp filters nor user namespaces" in app.platform.inactive["parsing"]


async def test_parsers_of_every_enabled_plugin_are_used_or_those_that_the_operator_names(
    platform: Platform,
) -> None:
    async with platform(plugins=("parsing", "data")) as app:
        service = app.platform.facades["parsing"].use(DocumentParsing)
        assert ".csv" in (await service.accepts())["text/csv"]
        parsed = await service.parse("t1", b"gate;days\nload;1\n", "a.csv", "application/octet-stream")
        assert parsed.blocks[0].columns == ("gate", "days")
    async with platform(plugins=("parsing", "data"), settings={"PARSING_PARSERS": "text"}) as app:
        service = app.platform.facades["parsing"].use(DocumentParsing)
        assert "text/csv" not in await service.accepts()


async def test_a_parser_that_nobody_offers_stops_the_boot(platform: Platform) -> None:
    with pytest.raises(ConfigError, match="did you mean 'text'"):
        async with platform(plugins=("parsing",), settings={"PARSING_PARSERS": "txt"}):
            raise AssertionError("it must not boot")


async def test_a_parser_without_parsing_does_nothing(platform: Platform) -> None:
    async with platform(plugins=("data",)) as app:
        assert not app.platform.inactive
