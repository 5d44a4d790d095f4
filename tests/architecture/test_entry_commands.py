"""tox and the Makefile: the same work under two names, and no test that only one of the parts would miss."""

import configparser
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = {"lint", "types", "arch", "unit", "contract", "integration", "contrib", "docs", "perf"}
PARTS = ("arch", "unit", "contract", "integration", "contrib", "test-docs")


def _tox() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "tox.ini")
    return parser


def _recipe(target: str) -> str:
    """What ``make target`` would run, without its prerequisites."""
    command = ["make", "--no-print-directory", "-n", "-o", "develop", "-o", "imports", target]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def _tests(recipe: str) -> set[Path]:
    """The test files that a pytest command line collects."""
    taken: set[Path] = set()
    ignored: set[Path] = set()
    for word in recipe.partition("-m pytest ")[2].split():
        if word.startswith("--ignore="):
            ignored.add(ROOT / word.removeprefix("--ignore="))
        else:
            path = ROOT / word
            taken |= {path} if path.is_file() else set(path.rglob("test_*.py"))
    return taken - ignored


@pytest.mark.parametrize("name", sorted(ENVIRONMENTS))
def test_each_tox_environment_is_one_target_of_the_makefile(name: str) -> None:
    command = _tox()[f"testenv:{name}"]["commands"]
    assert re.fullmatch(r"make [a-z-]+", command)
    assert _recipe(command.split()[1]).strip()


def test_the_parts_of_the_suite_are_the_whole_suite_each_test_once() -> None:
    parts = [_tests(_recipe(target)) for target in PARTS]
    whole = {
        path
        for folder in ("hooks", "toolkit", "kernel", "cli", "plugins", "contrib", "tests")
        for path in (ROOT / folder).rglob("test_*.py")
        if "node_modules" not in path.parts
    }
    template = {path for path in whole if "template" in path.parts}
    assert set().union(*parts) == whole, "a test file that no part runs, or one that is gone"
    twice = [path for path in whole - template if sum(path in part for part in parts) > 1]
    assert not twice
