"""Names: one class for one name, and the glossary's words are those of the code."""

import ast
import importlib
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "docs" / "explanation" / "glossary.md").read_text(encoding="utf-8")
#: Class names that stand in several places, and why.
SHARED = {"User": "what RFC 7643 calls the resource, beside who is signed in"}


def defined() -> dict[str, set[str]]:
    """Every class name with the files that define it."""
    found: dict[str, set[str]] = defaultdict(set)
    for folder in ("hooks", "toolkit", "kernel", "cli", ".", "plugins/*", "contrib/*", "tests/testkit"):
        for source in ROOT.glob(f"{folder}/src"):
            for path in source.rglob("*.py"):
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                    if isinstance(node, ast.ClassDef):
                        found[node.name].add(str(path.relative_to(ROOT)))
    return found


def test_a_class_name_stands_once_or_says_why() -> None:
    twice = {name: sorted(paths) for name, paths in defined().items() if len(paths) > 1}
    assert {name: paths for name, paths in twice.items() if name not in SHARED} == {}
    assert set(SHARED) <= set(twice), "a reason for a name that stands once"


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\(`(ragwork_[\w.]+)`\)", GLOSSARY))))
def test_the_glossary_names_what_exists(name: str) -> None:
    module, _, symbol = name.rpartition(".")
    assert hasattr(importlib.import_module(module), symbol)


def test_no_module_begins_with_a_question() -> None:
    asking = [
        str(path.relative_to(ROOT))
        for source in ROOT.glob("**/src")
        if ".venv" not in source.parts
        for path in source.rglob("*.py")
        if (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")
        .partition("\n")[0]
        .endswith("?")
    ]
    assert not asking
