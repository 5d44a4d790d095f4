"""What is installed is read once, and again after something was installed or uninstalled."""

from pathlib import Path

import pytest
from ragwork_kernel.base import discovery


def test_what_is_installed_meanwhile_is_found_and_what_is_uninstalled_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "late" not in discovery.installed(discovery.PLUGINS)
    package = tmp_path / "late-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[ragwork.plugins]\nlate = late:plugin\n")
    assert discovery.installed(discovery.PLUGINS)["late"].version == "1.0"
    for file in package.iterdir():
        file.unlink()
    package.rmdir()
    assert "late" not in discovery.installed(discovery.PLUGINS)


def test_many_groups_are_read_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))  # a place that nobody asked about before
    read = []
    every = discovery.entry_points
    monkeypatch.setattr(discovery, "entry_points", lambda: read.append(1) or every())
    for group in (discovery.PLUGINS, discovery.ASSEMBLY, "ragwork.llm", "ragwork.embedding"):
        assert discovery.installed(group)
    assert len(read) == 1
