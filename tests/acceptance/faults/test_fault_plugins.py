"""A plugin that can't be imported, hangs in its import or is no plugin: named, and nothing waits for ever."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from ragwork_hooks.errors import ConfigError
from ragwork_kernel.base import discovery
from ragwork_kernel.boot import plugin_set
from ragwork_testkit.platform import Running

Start = Callable[..., AbstractAsyncContextManager[Running]]
Install = Callable[[str, str, Mapping[str, Mapping[str, str]]], Path]

GOOD = """
from ragwork_hooks.plugin import PluginInfo, hookimpl
class Plugin:
    @hookimpl
    def ragwork_info(self):
        return {info}
    {more}
plugin = Plugin()
"""
BAD = {
    "fails": ("raise ImportError('libfoo.so is missing')", "libfoo.so is missing"),
    "exits": ("raise SystemExit(3)", "SystemExit"),
    "has_no_plugin": ("", "can't be imported"),
    "is_a_text": ("plugin = 'a text'", "ragwork_info"),
    "informs_with_a_text": (GOOD.format(info="'a text'", more=""), "return a PluginInfo"),
    "informs_with_an_error": (GOOD.format(info="1 / 0", more=""), "division by zero"),
}


def put(install: Install, module: str, source: str) -> Path:
    return install(module, source, {"ragwork.plugins": {module: f"{module}:plugin"}})


@pytest.mark.parametrize("what", BAD)
def test_a_plugin_that_cannot_be_loaded_is_named_and_stops_the_boot_alone(
    install: Install, tmp_path: Path, what: str
) -> None:
    source, reason = BAD[what]
    module = f"ragwork_bad_{what}"
    put(install, module, source)
    read = plugin_set.read(tmp_path, {"RAGWORK_PLUGINS": f"directory,{module},rbac"})
    assert [p.name for p in read.plugins] == ["directory", "rbac"]
    assert [b.name for b in read.broken] == [module]
    with pytest.raises(ConfigError, match=module) as raised:
        read.require_whole()
    assert reason in str(raised.value)


async def test_a_plugin_that_contributes_a_wrong_type_is_inactive_with_its_reason(
    platform: Start, install: Install
) -> None:
    more = "@hookimpl\n    def ragwork_contribute(self, context):\n        return 'a text'"
    source = GOOD.format(info="PluginInfo(name='ragwork_textual', summary='')", more=more)
    put(install, "ragwork_textual", source)
    async with platform(plugins=("directory", "ragwork_textual")) as app:
        health = await app.call("GET", "/v1/health")
        assert "return a Contribution" in health.data["inactive_plugins"]["ragwork_textual"]


def test_an_import_that_hangs_is_given_up_and_named(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery, "IMPORT_LIMIT_S", 0.3)
    put(install, "ragwork_hangs", "import threading\nthreading.Event().wait(20)")
    read = plugin_set.read(tmp_path, {"RAGWORK_PLUGINS": "directory,ragwork_hangs,rbac"})
    assert [p.name for p in read.plugins] == ["directory", "rbac"]
    with pytest.raises(ConfigError, match=r"ragwork_hangs.*still runs after 0\.3 s"):
        read.require_whole()
