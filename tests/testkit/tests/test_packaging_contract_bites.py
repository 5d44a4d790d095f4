"""The packaging contract and the tiers find what is wrong: each defect alone, in a package that is otherwise right."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ragwork_testkit.package import Broken, Package
from ragwork_testkit.packaging import CHECKS, problems

PYPROJECT = """[project]
name = "ragwork-lasting"
version = "0.1.0"
description = "For a test"
readme = "README.md"
requires-python = ">=3.11"
license = "Apache-2.0"
dependencies = ["ragwork-hooks>=0.1", "attrs>=24.2"]

[project.entry-points."ragwork.plugins"]
lasting = "ragwork_lasting:plugin"

[project.entry-points."ragwork.llm"]
lasting = "ragwork_lasting.model:provider"

[tool.pytest.ini_options]
pythonpath = ["src"]
"""
PLUGIN = """
from pathlib import Path

import attrs
from ragwork_hooks.plugin import PluginInfo, hookimpl
from ragwork_hooks.settings import setting


@attrs.frozen(kw_only=True)
class Config:
    words: int = setting("LASTING_WORDS", 1, "words")


class Plugin:
    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="lasting", summary="for a test", config=Config, schema="lasting",
            migrations=Path(__file__).parent / "migrations",
        )


plugin = Plugin()
"""
MODEL = """
import attrs
from ragwork_hooks.providers import Provider, ProviderContext


@attrs.frozen(kw_only=True)
class Options:
    depth: int = 1


async def _open(context: ProviderContext[object]) -> object:
    return object()


provider: Provider[object] = Provider(name="lasting", open=_open, options=Options)
"""
README = (
    "# ragwork-lasting\n\n" + "It lasts. " * 20 + "\n\n`LASTING_WORDS` is a setting, `depth` an option.\n"
)
FILES: Mapping[str, str] = {
    "pyproject.toml": PYPROJECT,
    "README.md": README,
    "src/ragwork_lasting/__init__.py": PLUGIN,
    "src/ragwork_lasting/model.py": MODEL,
    "src/ragwork_lasting/py.typed": "",
    "src/ragwork_lasting/migrations/0001_first.sql": "-- kind: expand\nSELECT 1;\n",
    "tests/test_lasting.py": "def test_it_lasts() -> None:\n    assert True\n",
}
Edit = Callable[[dict[str, str]], None]


def write(folder: Path, *edits: Edit) -> Path:
    files = dict(FILES)
    for edit in edits:
        edit(files)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def replaced(file: str, old: str, new: str) -> Edit:
    name = next(name for name in FILES if name.endswith(file))

    def edit(files: dict[str, str]) -> None:
        assert old in files[name]
        files[name] = files[name].replace(old, new)

    return edit


def without(file: str) -> Edit:
    return lambda files: files.__delitem__(next(name for name in FILES if name.endswith(file)))


def found(folder: Path) -> dict[str, str]:
    package = Package.of_folder(folder)
    return {name: "; ".join(wrong) for name, check in CHECKS.items() if (wrong := problems(package, check))}


def test_a_right_package_has_no_problem(tmp_path: Path) -> None:
    assert found(write(tmp_path)) == {}


@pytest.mark.parametrize(
    ("edit", "check", "says"),
    [
        (replaced("pyproject.toml", '"Apache-2.0"', '""'), "metadata", "license"),
        (replaced("README.md", "It lasts. ", ""), "readme", "README"),
        (replaced("pyproject.toml", "attrs>=24.2", "attrs==24.2"), "ranges", "pin"),
        (replaced("pyproject.toml", "attrs>=24.2", "attrs<30"), "ranges", "floor"),
        (
            replaced("pyproject.toml", "attrs>=24.2", "attrs @ https://h.example/a.whl"),
            "ranges",
            "URL",
        ),
        (replaced("pyproject.toml", "attrs>=24.2", "ragwork_kernel>=0.1"), "hooks alone", "ragwork_kernel"),
        (replaced("pyproject.toml", "ragwork-hooks>=0.1", "pluggy>=1"), "hooks alone", "not among"),
        (
            replaced("model.py", "return object()", "import ragwork_kernel.boot.boot\n    return object()"),
            "hooks alone",
            "model.py imports ragwork_kernel",
        ),
        (replaced("pyproject.toml", "ragwork.llm", "ragwork.lm"), "entry points", "no kind"),
        (replaced("model.py", 'name="lasting"', 'name="other"'), "entry points", "calls itself 'other'"),
        (replaced("__init__.py", 'name="lasting"', 'name="other"'), "identity", "PluginInfo says 'other'"),
        (replaced("__init__.py", 'schema="lasting"', 'schema="lasting", hooks_api=2'), "identity", "API 2"),
        (replaced("__init__.py", '"for a test"', '""'), "identity", "summary"),
        (replaced("__init__.py", "import attrs", "import aiohttp\nimport attrs"), "light import", "aiohttp"),
        (replaced("README.md", "LASTING_WORDS", "LASTING_LETTERS"), "settings", "LASTING_WORDS"),
        (without("py.typed"), "typed", "py.typed"),
        (replaced("0001_first.sql", "-- kind: expand", "-- first"), "migrations", "kind"),
        (replaced("__init__.py", 'schema="lasting"', "schema=None"), "migrations", "no schema"),
        (without("0001_first.sql"), "migrations", "no migration"),
    ],
)
def test_one_defect_is_found_by_its_check_alone(tmp_path: Path, edit: Edit, check: str, says: str) -> None:
    wrong = found(write(tmp_path, edit))
    assert wrong.keys() == {check}
    assert says in wrong[check]


def test_a_gap_in_the_numbers_is_found(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "src/ragwork_lasting/migrations/0003_third.sql").write_text("-- kind: expand\n")
    assert "breaks the numbering" in found(tmp_path)["migrations"]


def test_a_plugin_that_can_t_be_imported_is_a_problem_and_not_a_crash(tmp_path: Path) -> None:
    wrong = found(write(tmp_path, replaced("__init__.py", "import attrs", "import no_such_module")))
    assert "No module named 'no_such_module'" in wrong["identity"]


def test_what_is_no_project_is_said(tmp_path: Path) -> None:
    with pytest.raises(Broken, match=r"no pyproject\.toml"):
        Package.of_folder(tmp_path)
    with pytest.raises(Broken, match="is not installed"):
        Package.of_distribution("ragwork-never-was")


def test_what_is_installed_is_judged_by_its_metadata() -> None:
    package = Package.of_distribution("ragwork-devkit")
    assert package.plugin == ("devkit", "ragwork_devkit:plugin")
    assert [wrong for check in CHECKS.values() for wrong in problems(package, check)] == []


def tier(folder: Path) -> tuple[str | None, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "ragwork_testkit.quality_tier", str(folder)], capture_output=True, text=True
    )
    report = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == (0 if report["tier"] else 1)
    return report["tier"], {f["check"]: f["problems"] for f in report["findings"] if f["problems"]}


KIT = """
from ragwork_hooks.llm import ChatModel
from ragwork_testkit.llm import ChatModelContract


class TestKit(ChatModelContract):
    async def make(self) -> ChatModel:
        raise NotImplementedError
"""


def test_a_provider_without_its_kit_is_bronze(tmp_path: Path) -> None:
    reached, wrong = tier(write(tmp_path))
    assert reached == "bronze"
    assert re.search("no test subclasses the kit of kind llm", wrong["contract kits"][0])


def test_a_kit_that_fails_proves_nothing(tmp_path: Path) -> None:
    reached, wrong = tier(write(tmp_path, replaced("test_lasting.py", "def", f"{KIT}\n\ndef")))
    assert reached == "bronze"
    assert wrong["own tests"]
    assert wrong["contract kits"]


def no_provider(files: dict[str, str]) -> None:
    head, _, rest = files["pyproject.toml"].partition('[project.entry-points."ragwork.llm"]')
    files["pyproject.toml"] = head + rest.partition("\n\n")[2]


def test_no_test_at_all_is_bronze(tmp_path: Path) -> None:
    reached, wrong = tier(write(tmp_path, no_provider, replaced("test_lasting.py", "test_it", "it")))
    assert (reached, wrong["own tests"]) == ("bronze", ["there is no test: write one below tests/"])


def test_an_excuse_without_a_reason_is_silver(tmp_path: Path) -> None:
    excuse = "import pytest\n\n\n@pytest.mark.xfail\ndef test_other() -> None:\n    assert False\n\n\ndef"
    reached, wrong = tier(write(tmp_path, no_provider, replaced("test_lasting.py", "def", excuse)))
    assert reached == "silver"
    assert "xfail without a reason" in wrong["excuses"][0]


def test_a_loose_type_is_silver(tmp_path: Path) -> None:
    reached, wrong = tier(write(tmp_path, no_provider, replaced("model.py", "-> object:", ":")))
    assert reached == "silver"
    assert "no-untyped-def" in wrong["strict types"][0]


def test_a_broken_package_has_no_tier_and_its_tests_run_all_the_same(tmp_path: Path) -> None:
    reached, wrong = tier(
        write(tmp_path, without("py.typed"), replaced("test_lasting.py", "def", f"{KIT}\n\ndef"))
    )
    assert reached is None
    assert wrong["typed"]
    assert "TestKit" in wrong["own tests"][0]
