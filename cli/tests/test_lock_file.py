"""``ragwork plugins lock`` and ``verify``: the lock file is written from what is installed, and compared with it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from in_process import run
from ragwork_cli import lock_file
from ragwork_kernel.boot import plugin_set as assemblies
from ragwork_kernel.boot.plugin_lock import PluginLock


def locked(home: Path) -> PluginLock:
    lock = lock_file.of_installed(home / "ragwork.lock", ["lockling"])
    lock_file.write(lock)
    return PluginLock.read(lock.path)


def test_locking_imports_nothing_and_what_was_locked_is_let_in(site: Path, home: Path) -> None:
    lock = locked(home)
    assert "ragwork_lockling" not in sys.modules
    entry = lock.entries["lockling"]
    assert (entry.distribution, entry.version, len(entry.sha256)) == ("ragwork-lockling", "1.0", 64)
    assembly = assemblies.read(home, {"RAGWORK_PLUGIN_LOCK": "ragwork.lock"})
    assert [loaded.name for loaded in assembly.plugins] == ["lockling"]


def test_a_disabled_plugin_with_a_section_is_locked_too_since_its_settings_are_checked(
    site: Path, home: Path
) -> None:
    (home / "ragwork.toml").write_text("[kernel]\nplugins = []\n[lockling]\n")
    assert lock_file.to_lock(home, {}) == (home / "ragwork.lock", ("lockling",))
    assert "ragwork_lockling" not in sys.modules


def test_the_commands_lock_and_compare_and_plugins_alone_still_lists(
    site: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(monkeypatch, capsys, "plugins", "verify")
    assert (status, "ragwork plugins lock" in err) == (2, True)
    status, out, _ = run(monkeypatch, capsys, "plugins", "lock", "--json")
    assert (status, set(json.loads(out)["plugins"])) == (0, {"lockling"})
    assert run(monkeypatch, capsys, "plugins", "verify")[0] == 0
    with (site / "ragwork_lockling/__init__.py").open("a") as code:
        code.write("\n# one more line\n")
    status, out, _ = run(monkeypatch, capsys, "plugins", "verify")
    assert (status, "sha256 is" in out) == (1, True)
    monkeypatch.setenv("RAGWORK_PLUGIN_LOCK", "ragwork.lock")
    status, out, _ = run(monkeypatch, capsys, "plugins")
    assert status == 1
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert "broken" in rows["lockling"]


@pytest.mark.parametrize(("lock", "warned"), [(None, 1), ("ragwork.lock", 0)])
def test_production_without_a_lock_says_so_in_one_line(
    site: Path, home: Path, lock: str | None, warned: int
) -> None:
    locked(home)
    more = {} if lock is None else {"RAGWORK_PLUGIN_LOCK": lock}
    done = subprocess.run(
        [sys.executable, "-c", "from ragwork_cli.command_line import main; main()", "worker"],
        env={"PATH": "", "PYTHONPATH": str(site), "RAGWORK_PROFILE": "production", **more},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2  # production has no database here
    assert (done.stdout + done.stderr).count("RAGWORK_PLUGIN_LOCK is unset") == warned
