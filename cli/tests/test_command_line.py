"""The command line in process: its tree, its options, and failures that are one line and a status."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from in_process import run
from ragwork_cli import command_line
from ragwork_hooks.errors import ConfigError


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working directory without settings, and no settings in the environment."""
    for name in ("RAGWORK_PLUGINS", "DATABASE_URL", "RAGWORK_PROFILE", "RAGWORK_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_tree_holds_the_kernels_commands_and_those_of_enabled_plugins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAGWORK_PLUGINS", "directory,apikeys")
    root = command_line.command_line()
    assert {
        "serve",
        "worker",
        "migrate",
        "doctor",
        "plugins",
        "config",
        "dsn",
        "jobs",
        "keys",
    } <= set(root.commands)
    assert "ingest" not in root.commands
    for path in (("serve",), ("keys", "create"), ("config", "explain")):
        command = root
        for name in path:
            command = command.commands[name]  # type: ignore[assignment]
        assert {"data_dir", "as_json"} <= {p.name for p in command.params}


@pytest.mark.parametrize(
    "toml", ["[kernel\n", "[kernel]\nno_such = 1\n", '[kernel]\nplugins = ["no-such"]\n']
)
@pytest.mark.parametrize("argv", [("config", "check"), ("worker",), ("serve",)])
def test_a_broken_configuration_is_one_line_with_its_fix_and_status_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    elsewhere: Path,
    toml: str,
    argv: Sequence[str],
) -> None:
    (elsewhere / "ragwork.toml").write_text(toml)
    status, out, err = run(monkeypatch, capsys, *argv, "--data-dir", str(elsewhere / "d"))
    assert (status, out.partition(": ")[0].strip()) == (2, "read" if "check" in argv else "")
    assert err.startswith("ragwork: ")
    assert err.count("\n") == 1
    assert "Fix: " in err


def test_plugins_works_on_a_broken_set_and_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAGWORK_PLUGINS", "directory,rbca")
    status, out, _ = run(monkeypatch, capsys, "plugins", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert status == 1
    assert (rows["directory"]["state"], rows["rbca"]["state"], rows["rbac"]["state"]) == (
        "enabled",
        "broken",
        "disabled",
    )
    assert "did you mean 'rbac'" in rows["rbca"]["note"]


def test_explain_finds_a_setting_by_each_of_its_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    for name in ("LOG_LEVEL", "log_level", "kernel.log_level"):
        status, out, _ = run(monkeypatch, capsys, "config", "explain", name, "--json")
        [row] = json.loads(out)
        assert (status, row["value"], row["layer"]) == (0, "'DEBUG'", "environment")
    status, _, err = run(monkeypatch, capsys, "config", "explain", "LOG_LEVLE", "--json")
    assert status == 1
    assert "did you mean 'LOG_LEVEL'" in err


@pytest.mark.parametrize(
    "argv",
    [
        ("no-such",),
        ("serve", "--no-such"),
        ("serve", "--port", "x"),
        ("serve", "--port", "70000"),
        ("serve", "--port", "-1"),
        ("jobs", "why"),
        ("data", "list", "documents"),
    ],
)
def test_a_wrong_call_ends_with_status_2_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], elsewhere: Path, argv: Sequence[str]
) -> None:
    monkeypatch.setenv("RAGWORK_PLUGINS", "")
    status, _, err = run(
        monkeypatch, capsys, *argv, *(("--data-dir", str(elsewhere)) if "serve" in argv else ())
    )
    assert status == 2
    assert "Traceback" not in err
    assert not list(elsewhere.iterdir())


def test_help_needs_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (("--help",), ("keys", "create", "--help"), ("serve", "--help")):
        status, out, _ = run(monkeypatch, capsys, *argv)
        assert (status, "Usage:" in out) == (0, True)


def test_the_data_directory_is_found_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAGWORK_DATA_DIR", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    assert command_line.default_data_dir().is_absolute()
    monkeypatch.setenv("HOME", "")
    assert command_line.default_data_dir().is_absolute()
    monkeypatch.setenv("HOME", "/home/ann")
    assert command_line.default_data_dir() == Path("/home/ann/.local/share/ragwork")
    monkeypatch.setenv("RAGWORK_DATA_DIR", "/data")
    assert command_line.default_data_dir() == Path("/data")


def test_an_unexpected_failure_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(command_line, "command_line", broken)
    with pytest.raises(RuntimeError):
        command_line.main()


def test_an_expected_failure_shows_its_own_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuses() -> None:
        raise ConfigError("X", "is wrong", "mend it")

    monkeypatch.setattr(command_line, "command_line", refuses)
    assert run(monkeypatch, capsys) == (2, "", "ragwork: X: is wrong. Fix: mend it\n")
