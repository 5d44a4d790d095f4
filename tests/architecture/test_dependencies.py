"""What a distribution imports is what it depends on: an import that another package happens to bring breaks one day."""

import ast
import itertools
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(
    path.parent
    for pattern in ("hooks", "toolkit", "kernel", "cli", "plugins/*", "contrib/*", "tests/testkit")
    for path in ROOT.glob(f"{pattern}/pyproject.toml")
)
OWNERS = packages_distributions()
#: Used where it is installed; not for every Python.
OPTIONAL = {"opa_bindings"}


def imported(node: ast.AST) -> Iterator[str]:
    """The top names of every import, of those within functions, too; not of those for the type checker alone."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module.partition(".")[0]
    for child in ast.iter_child_nodes(node):
        yield from imported(child)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_is_imported_is_depended_on(folder: Path) -> None:
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    named = itertools.chain(project["dependencies"], *project.get("optional-dependencies", {}).values())
    depended = {normal(re.split(r"[^\w.-]", requirement)[0]) for requirement in named} | {
        normal(project["name"])
    }
    trees = [ast.parse(path.read_text()) for path in (folder / "src").rglob("*.py")]
    names = {name for tree in trees for name in imported(tree)} - sys.stdlib_module_names - OPTIONAL
    missing = {name for name in names if not depended & {normal(owner) for owner in OWNERS.get(name, [name])}}
    assert not missing
