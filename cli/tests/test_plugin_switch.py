"""``ragwork plugins enable`` and ``disable`` edit ragwork.toml, keep what else stands in it, and are what counts."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from in_process import run
from ragwork_cli import toml_lists
from ragwork_hooks.errors import ConfigError
from ragwork_kernel.boot import plugin_set as assemblies

NOTES = """# ours
[kernel]   # the kernel
# why these
plugins = [
    "directory",  # people
    "apikeys",
    'rbac'   # roles
]
log_level = "INFO"

[fake]
tokens = 3  # few
"""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("RAGWORK_PLUGINS", "RAGWORK_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def enabled(home: Path) -> list[str]:
    return [plugin.name for plugin in assemblies.read(home, {}).plugins]


def test_beside_the_default_assembly_a_plugin_is_added_and_removed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    default = enabled(home)
    status, out, _ = run(monkeypatch, capsys, "plugins", "enable", "espeak")
    assert (status, (home / "ragwork.toml").read_text()) == (0, '[kernel]\nplugins_add = ["espeak"]\n')
    assert f"espeak is enabled: plugins_add in {home}/ragwork.toml" in out
    assert sorted(enabled(home)) == sorted([*default, "espeak"])
    assert run(monkeypatch, capsys, "plugins", "enable", "espeak")[1] == "espeak is enabled already\n"
    assert run(monkeypatch, capsys, "plugins", "disable", "billing")[0] == 0
    assert "billing" not in enabled(home)
    assert run(monkeypatch, capsys, "plugins", "enable", "billing")[0] == 0
    assert run(monkeypatch, capsys, "plugins", "disable", "espeak")[0] == 0
    assert sorted(enabled(home)) == sorted(default)


def test_an_explicit_list_is_what_is_edited_and_comments_stay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    (home / "ragwork.toml").write_text(NOTES)
    assert run(monkeypatch, capsys, "plugins", "enable", "fake")[0] == 0
    text = (home / "ragwork.toml").read_text()
    assert text == NOTES.replace("'rbac'   # roles\n", "'rbac',   # roles\n    \"fake\"\n")
    assert run(monkeypatch, capsys, "plugins", "disable", "apikeys")[0] == 0
    assert "people" in (home / "ragwork.toml").read_text()
    assert enabled(home) == ["directory", "rbac", "fake"]


def test_what_a_binding_then_lacks_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    status, out, _ = run(monkeypatch, capsys, "plugins", "disable", "minilm")
    assert status == 0
    assert "next: EMBEDDING_PROVIDER: names embedding provider 'minilm'" in out


def test_a_name_that_is_not_installed_and_a_stronger_layer_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    assert "did you mean 'espeak'" in run(monkeypatch, capsys, "plugins", "enable", "espeek")[2]
    monkeypatch.setenv("RAGWORK_PLUGINS", "directory")
    (home / "ragwork.toml").write_text(NOTES)
    status, _, err = run(monkeypatch, capsys, "plugins", "disable", "directory")
    assert (status, "RAGWORK_PLUGINS" in err, "wins over it" in err) == (2, True, True)
    assert (home / "ragwork.toml").read_text() == NOTES


def test_the_hint_of_the_list_is_a_command_that_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    listed = run(monkeypatch, capsys, "plugins")[1]
    [hint] = [
        line.partition("`ragwork ")[2].partition("`")[0] for line in listed.splitlines() if "espeak" in line
    ]
    assert run(monkeypatch, capsys, *hint.split())[0] == 0
    assert "espeak" in enabled(home)


names = st.sampled_from(["a", "bc", "d-e"])
spaces = st.sampled_from(["", " ", "\n", "\n    ", " # why, [so]\n  "])


@given(
    members=st.lists(names, max_size=3, unique=True),
    gaps=st.lists(spaces, min_size=8, max_size=8),
    end=st.booleans(),
)
def test_a_list_in_any_layout_grows_and_shrinks_or_is_left_alone(
    members: list[str], gaps: list[str], end: bool
) -> None:
    inner = gaps[0]
    for n, member in enumerate(members):
        last = n == len(members) - 1
        inner += f'"{member}"' + gaps[n * 2 + 1] + ("," if not last or end else "") + gaps[n * 2 + 2]
    text = f"[kernel]\nlist = [{inner}]\nother = [1]  # kept\n[next]\nlist = []\n"
    try:
        grown = toml_lists.added(text, "kernel", "list", "new")
        shrunk = toml_lists.removed(grown, "kernel", "list", "new")
    except ConfigError:
        return  # an odd layout is for a person to edit
    assert tomllib.loads(grown)["kernel"] == {"list": [*members, "new"], "other": [1]}
    assert "# kept" in grown
    assert tomllib.loads(shrunk)["kernel"] == {"list": members, "other": [1]}
