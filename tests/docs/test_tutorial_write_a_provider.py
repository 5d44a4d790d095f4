"""A third party's view: the package of the tutorial is built from the page, proved by the kit, and asked."""

import re
from pathlib import Path

import pytest
from page import DOCS, Environment, fences, files

PAGE = (DOCS / "tutorial-write-a-provider.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("opening")
    for name, content in files(PAGE).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def test_the_provider_imports_nothing_of_ragwork_but_the_hooks(package: Path) -> None:
    sources = "\n".join(path.read_text() for path in (package / "src").rglob("*.py"))
    imported = set(re.findall(r"^(?:from|import) (ragwork\w*)", sources, re.MULTILINE))
    assert imported == {"ragwork_hooks", "ragwork_opening"}


def test_every_command_of_the_page_works_and_the_answer_is_the_one_shown(
    package: Path, tmp_path: Path
) -> None:
    environment = Environment.make(tmp_path / "env", with_pip=True)
    prove, ask = fences(PAGE, "sh")
    proved = environment.run(prove, package)
    passed = re.search(r"(\d+) passed", proved)
    assert passed, proved
    assert int(passed[1]) >= 20
    said = environment.run(ask, package)
    assert re.search(r"^opening +0\.1\.0 +enabled", said, re.MULTILINE)
    assert "OPENING_WORDS = 20   (ragwork.toml;" in said
    (shown,) = fences(PAGE, "text")
    assert said.endswith(shown), said
