"""What ``ragwork plugin new`` writes: every kind, formatted and typed for any name, and never over something."""

import re
import subprocess
import sys
from pathlib import Path
from string import ascii_lowercase

import pytest
from ragwork_devkit import names, scaffold
from ragwork_devkit.commands import TOOLS
from ragwork_devkit.kinds import KINDS
from ragwork_hooks.commands import OfflineCommandContext
from ragwork_hooks.errors import ConfigError
from ragwork_testkit.platform import QuietConsole

NEW, TEST = TOOLS


async def new(into: Path, name: str, kind: str = "llm") -> QuietConsole:
    console = QuietConsole()
    options: dict[str, str | bool | None] = {"name": name, "kind": kind, "into": str(into)}
    assert await NEW.run(OfflineCommandContext(console=console, options=options)) == 0
    return console


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin of each kind, with the shortest and with the longest name."""
    folder = tmp_path_factory.mktemp("written")
    for number, kind in enumerate(KINDS.values()):
        for name in (ascii_lowercase[number], f"a2345_7890_2345_789{ascii_lowercase[number]}"):
            scaffold.write(folder / kind.name / name, scaffold.plan(kind, name))
    return folder


def test_what_is_written_is_formatted_and_linted_for_short_and_long_names(written: Path) -> None:
    for arguments in (("check",), ("format", "--check")):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, str(written)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout


def test_no_mark_is_left(written: Path) -> None:
    texts = [path for path in written.rglob("*.*") if path.suffix in {".py", ".toml", ".md", ".sql"}]
    assert len(texts) > 100
    assert not [path for path in texts if "%%" in path.read_text()]


def test_every_kind_of_the_template_is_offered() -> None:
    folder = Path(scaffold.__file__).parent / "template"
    assert {entry.name for entry in folder.iterdir()} == {*KINDS, "shared"}


def test_two_plugins_share_no_module_and_no_test_module(written: Path) -> None:
    modules = [path.name for path in written.rglob("tests/test_*.py")]
    assert len(modules) == len(set(modules))


async def test_the_command_says_what_it_wrote(tmp_path: Path) -> None:
    [result] = (await new(tmp_path, "acme_chat")).results
    folder = tmp_path / "ragwork-acme-chat"
    assert result["folder"] == str(folder)
    there = files(folder)
    assert set(result["files"]) == there
    assert {
        "pyproject.toml",
        "README.md",
        "src/ragwork_acme_chat/model.py",
        "tests/test_acme_chat_packaging.py",
    } <= there


async def test_nothing_is_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "ragwork-acme-chat"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty"):
        await new(tmp_path, "acme_chat")
    assert files(folder) == {"mine.txt"}


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ("Acme-Chat", "acme_chat"),
        ("acmeChat", "acme_chat"),
        ("2fast", "fast"),
        ("a__b", "a_b"),
        ("_a_", "a"),
        ("", "my_plugin"),
        ("日本", "my_plugin"),
        ("../../etc", "etc"),
        ("a" * 21, "a" * 20),
        ("kernel", "my_kernel"),
        ("openai", "my_openai"),
        ("pg_trgm", "my_pg_trgm"),
    ],
)
def test_a_name_that_can_t_be_is_refused_with_one_that_can(wrong: str, advice: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"try {advice!r}")):
        names.check(wrong)
    assert names.check(advice) == advice


async def test_a_wrong_name_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        await new(tmp_path / "into", "../../etc")
    assert not files(tmp_path)


async def test_a_folder_that_is_none_and_a_package_that_is_none_are_told_apart(tmp_path: Path) -> None:
    console = QuietConsole()
    with pytest.raises(ConfigError, match="is no folder"):
        await TEST.run(OfflineCommandContext(console=console, options={"path": str(tmp_path / "absent")}))
    assert await TEST.run(OfflineCommandContext(console=console, options={"path": str(tmp_path)})) == 1
    [report] = console.results
    assert report["tier"] is None
    assert "has no pyproject.toml" in report["findings"][0]["problems"][0]
