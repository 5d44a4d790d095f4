"""A third party's view: from wheels alone, in an environment that has nothing else, the page is followed to its end."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import wheels
from page import DOCS, fences, files

PAGE = (DOCS / "tutorial-write-a-provider.md").read_text(encoding="utf-8")


def run(script: str, folder: Path, **more: str) -> str:
    """Standard output of a shell script that must succeed; both outputs stand in the failure."""
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **more},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert ended.returncode == 0, f"{script}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("opening")
    for name, content in files(PAGE).items():
        if name == "ragwork.toml":
            continue  # it is written in the last step
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The wheels, and a ``pip`` that takes what they need from the cache, at the versions installed here."""
    return wheels.built(tmp_path_factory.mktemp("clone"))


def test_the_provider_imports_nothing_of_ragwork_but_the_hooks(package: Path) -> None:
    sources = "\n".join(path.read_text() for path in (package / "src").rglob("*.py"))
    imported = set(re.findall(r"^(?:from|import) (ragwork\w*)", sources, re.MULTILINE))
    assert imported == {"ragwork_hooks", "ragwork_opening"}


def test_every_distribution_is_linked_with_its_hash(offline: dict[str, str]) -> None:
    dist = Path(offline["RAGWORK"]) / "dist"
    page = (dist / "index.html").read_text()
    linked = re.findall(r'href="([^"#]+)#sha256=[0-9a-f]{64}"', page)
    assert set(linked) == {wheel.name for wheel in dist.glob("*.whl")}
    assert {"ragwork", "ragwork_testkit", "ragwork_hooks"} <= {name.partition("-")[0] for name in linked}


@pytest.fixture(scope="module")
def installed(package: Path, offline: dict[str, str]) -> dict[str, str]:
    """The environment of the page's first step."""
    install = fences(PAGE, "sh")[0]
    [(venv, here)] = wheels.VENV.items()
    made = install.replace(venv, here)
    assert made != install
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", made], cwd=package, env=offline, capture_output=True, text=True
    )
    # CI's cache is full: what is not found there is a fault of ours.
    if "CI" not in os.environ and (missing := wheels.missing(ended.stderr)):
        pytest.skip(f"uv's cache does not hold what the wheels need: {missing}")
    assert ended.returncode == 0, ended.stderr
    return offline


ACTIVATE = ". .venv/bin/activate\n"


# Slow: runs the whole kit as the page does.
def test_the_package_is_proved_as_the_page_says(package: Path, installed: dict[str, str]) -> None:
    said = run(ACTIVATE + fences(PAGE, "sh")[1], package, **installed)
    assert "[1/" in said
    assert said.splitlines()[-1].startswith("OK: tier "), said


# Slow: starts a server in an environment of its own.
def test_the_answer_is_the_one_shown(package: Path, installed: dict[str, str]) -> None:
    (package / "src" / "ragwork_opening" / "py.typed").touch()
    (package / "ragwork.toml").write_text(files(PAGE)["ragwork.toml"])
    said = run(ACTIVATE + "pip install --quiet .\n" + fences(PAGE, "sh")[2], package, **installed)
    assert re.search(r"^opening +0\.1\.0 +enabled", said, re.MULTILINE)
    assert "OPENING_WORDS = 20   (ragwork.toml;" in said
    (shown,) = fences(PAGE, "text")
    assert said.endswith(shown), said
