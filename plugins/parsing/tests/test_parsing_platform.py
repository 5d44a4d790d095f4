"""A platform offers ``DocumentParsing`` with every parser that is enabled, and says why where it can't."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
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
