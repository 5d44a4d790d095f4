"""A small plugin, installed into a folder of its own, and a configuration that enables it: for tests of the lock."""

import sys
from pathlib import Path
from typing import Final

import pytest
from stevedore.extension import ExtensionManager

NAME: Final = "lockling"
_CODE = """
from ragwork_hooks.plugin import PluginInfo, hookimpl

class Plugin:
    @hookimpl
    def ragwork_info(self):
        return PluginInfo(name="lockling", summary="for a test")

plugin = Plugin()
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make ``folder`` a folder of installed packages with the plugin in it, on the path of this test."""
    info = folder / "ragwork_lockling-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "ragwork_lockling").mkdir()
    (folder / "ragwork_lockling/__init__.py").write_text(_CODE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ragwork-lockling\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ragwork.plugins]\nlockling = ragwork_lockling:plugin\n")
    (info / "RECORD").write_text(
        "ragwork_lockling/__init__.py,,\nragwork_lockling-1.0.dist-info/METADATA,,\n"
        "ragwork_lockling-1.0.dist-info/entry_points.txt,,\nragwork_lockling-1.0.dist-info/RECORD,,\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    # stevedore lists a group once per process; another test may have listed it without this folder.
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})
    monkeypatch.delitem(sys.modules, "ragwork_lockling", raising=False)
    return folder


def enable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make ``folder`` the working directory, with a configuration that enables it and no setting in the environment."""
    for name in ("RAGWORK_PLUGINS", "RAGWORK_PLUGIN_LOCK", "RAGWORK_CONFIG_DIR", "RAGWORK_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    folder.mkdir()
    (folder / "ragwork.toml").write_text('[kernel]\nplugins = ["lockling"]\n')
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages with the plugin ``lockling`` in it."""
    return install(tmp_path / "site", monkeypatch)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration that enables it, and no setting in the environment."""
    return enable(tmp_path / "home", monkeypatch)
