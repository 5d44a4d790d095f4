"""The lock file: what is not listed, or is not what was listed, is refused before any of its code runs."""

import json
import sys
from pathlib import Path

import attrs
import pytest
from ragwork_hooks.errors import ConfigError
from ragwork_kernel.base import discovery
from ragwork_kernel.boot import plugin_set as assemblies
from ragwork_kernel.boot.plugin_lock import FORMAT, PluginLock, measured
from ragwork_testkit import sample_plugin


def locked(home: Path) -> PluginLock:
    """The lock file of the plugin as it is installed."""
    entry = measured(sample_plugin.NAME, discovery.installed(discovery.PLUGINS))
    path = home / "ragwork.lock"
    path.write_text(json.dumps({"format": FORMAT, "plugins": {sample_plugin.NAME: attrs.asdict(entry)}}))
    return PluginLock.read(path)


def error(home: Path, **environ: str) -> str:
    """Why the assembly refuses its only plugin; nothing of it was imported."""
    sys.modules.pop("ragwork_lockling", None)
    assembly = assemblies.read(home, {"RAGWORK_PLUGIN_LOCK": "ragwork.lock", **environ})
    assert assembly.plugins == ()
    assert "ragwork_lockling" not in sys.modules
    with pytest.raises(ConfigError) as refused:
        assembly.require_whole()
    return str(refused.value)


def test_measuring_imports_nothing_and_what_was_locked_is_let_in(site: Path, home: Path) -> None:
    lock = locked(home)
    assert "ragwork_lockling" not in sys.modules
    entry = lock.entries["lockling"]
    assert (entry.distribution, entry.version, len(entry.sha256)) == ("ragwork-lockling", "1.0", 64)
    assembly = assemblies.read(home, {"RAGWORK_PLUGIN_LOCK": "ragwork.lock"})
    assert [loaded.name for loaded in assembly.plugins] == ["lockling"]


@pytest.mark.parametrize("profile", ["development", "production"])
def test_a_changed_file_is_refused_before_it_runs(site: Path, home: Path, profile: str) -> None:
    locked(home)
    with (site / "ragwork_lockling/__init__.py").open("a") as code:
        code.write("\n# one more line\n")
    assert "sha256 is" in error(home, RAGWORK_PROFILE=profile)


def test_a_missing_file_is_refused(site: Path, home: Path) -> None:
    locked(home)
    (site / "ragwork_lockling/__init__.py").unlink()
    assert "install it again" in error(home)


def test_another_version_is_refused_by_its_number(site: Path, home: Path) -> None:
    locked(home)
    metadata = site / "ragwork_lockling-1.0.dist-info/METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 1.1"))
    assert "version is 1.1, but" in error(home)


def test_a_plugin_that_is_not_listed_is_refused(site: Path, home: Path) -> None:
    (home / "ragwork.lock").write_text('{"format": 1, "plugins": {}}')
    assert "is not listed" in error(home)


def test_a_disabled_plugin_s_section_does_not_import_it_unlocked(site: Path, home: Path) -> None:
    (home / "ragwork.toml").write_text("[kernel]\nplugins = []\n[lockling]\n")
    (home / "ragwork.lock").write_text('{"format": 1, "plugins": {}}')
    with pytest.raises(ConfigError, match="is not listed"):
        assemblies.read(home, {"RAGWORK_PLUGIN_LOCK": "ragwork.lock"})
    assert "ragwork_lockling" not in sys.modules


@pytest.mark.parametrize(
    "text", [None, "", "{}", "[]", '{"format": 2, "plugins": {}}', '{"format": 1, "plugins": {"a": {}}}']
)
def test_a_lock_that_can_t_be_read_stops_everything(site: Path, home: Path, text: str | None) -> None:
    if text is not None:
        (home / "ragwork.lock").write_text(text)
    with pytest.raises(ConfigError, match="ragwork plugins lock"):
        assemblies.read(home, {"RAGWORK_PLUGIN_LOCK": "ragwork.lock"})


def test_bytecode_and_the_installer_s_own_files_do_not_count(site: Path, home: Path) -> None:
    before = locked(home).entries
    info = site / "ragwork_lockling-1.0.dist-info"
    (info / "INSTALLER").write_text("another")
    (site / "ragwork_lockling/__init__.pyc").write_bytes(b"x")
    with (info / "RECORD").open("a") as record:
        record.write(f"{info.name}/INSTALLER,,\nragwork_lockling/__init__.pyc,,\n")
    assert locked(home).entries == before


def test_an_editable_installation_counts_the_code_that_it_points_to(site: Path, home: Path) -> None:
    source = site.parent / "source"
    source.mkdir()
    (site / "ragwork_lockling").rename(source / "ragwork_lockling")
    (site / "lockling.pth").write_text(f"{source}\n")
    record = site / "ragwork_lockling-1.0.dist-info/RECORD"
    record.write_text(record.read_text().replace("ragwork_lockling/__init__.py,,", "lockling.pth,,"))
    lock = locked(home)
    with (source / "ragwork_lockling/__init__.py").open("a") as code:
        code.write("\n# one more line\n")
    with pytest.raises(ConfigError, match="sha256"):
        lock.require("lockling", discovery.installed(discovery.PLUGINS))
