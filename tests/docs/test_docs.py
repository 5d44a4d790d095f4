"""The docs say what is so: links lead somewhere, commands and settings and tests exist, pages are current."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from page import DOCS, ROOT
from ragwork_cli.command_line import command_line
from ragwork_hooks.settings import settings_of
from ragwork_kernel.base import discovery
from ragwork_kernel.base.config import KernelConfig
from ragwork_kernel.boot import plugin_set as assemblies

sys.path.insert(0, str(ROOT / "tools"))
from make_reference import leaves  # a script, not an installed module

PAGES = sorted(
    [
        *DOCS.rglob("*.md"),
        *ROOT.glob("*.md"),
        *ROOT.glob("changes/*.md"),
        *ROOT.glob("plugins/*/README.md"),
        *ROOT.glob("tests/*/README.md"),
    ]
)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
#: Words after `ragwork` in a command: in a fence at the start of a line or behind a prompt, or in backquotes.
_COMMAND = re.compile(r"(?:^|[`$(|;]|\s&&|=\S+)\s*ragwork ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)*)", re.MULTILINE)
_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")
_SETTING = re.compile(r"^\| `([A-Z][A-Z0-9_<>]+)` \|", re.MULTILINE)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The anchors that headings of ``page`` make, as forges make them."""
    heads = re.findall(r"^#+ (.+)$", _FENCED.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in _LINK.findall(_FENCED.sub("", text_of(page))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.relative_to(ROOT)} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.relative_to(ROOT)} links to {link}"


def test_every_page_is_linked_from_somewhere() -> None:
    found = ((page.parent, link.partition("#")[0]) for page in PAGES for link in _LINK.findall(text_of(page)))
    linked = {(folder / name).resolve() for folder, name in found}
    # Decisions are found by their number: the README links their folder.
    alone = [str(page) for page in DOCS.rglob("*.md") if page not in linked and page.parent not in linked]
    assert not alone


def test_every_command_that_is_named_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    # A plugin that is not enabled by default may have commands too.
    monkeypatch.setenv("RAGWORK_PLUGINS", ",".join(discovery.installed(discovery.PLUGINS)))
    known = {path for path, _ in leaves(command_line())}
    groups = {path[:-1] for path in known if len(path) > 1}
    for page in PAGES:
        for words in _COMMAND.findall(text_of(page)):
            first, *rest = words.split()
            named = (first, *rest[:1]) if (first,) in groups and rest else (first,)
            assert named in known | groups, f"{page.relative_to(ROOT)} names `ragwork {words}`"


def test_a_command_that_does_not_exist_would_be_found() -> None:
    assert _COMMAND.findall("run `ragwork sorve --port 1`") == ["sorve"]
    assert _COMMAND.findall("$ LLM_PROVIDER=fake ragwork keys make --tenant t") == ["keys make"]


def test_the_settings_page_names_exactly_the_settings_there_are(tmp_path: Path) -> None:
    assembly = assemblies.read(tmp_path, {})
    given = [each for p in assembly.plugins for each in (p.info.config, p.info.named_config)]
    classes = [KernelConfig, *(each for each in given if each is not None)]
    names = {info.env for config in classes for info in settings_of(config).values()}
    names |= {secret for plugin in assembly.plugins for secret in plugin.info.secrets}
    assert set(_SETTING.findall(text_of(DOCS / "reference" / "configuration.md"))) == names


def test_the_generated_pages_are_current() -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "make_reference.py"), "--check"], capture_output=True, text=True
    )
    assert ended.returncode == 0, f"run tools/make_reference.py: {ended.stdout}{ended.stderr}"


@pytest.mark.parametrize("name", ["guarantees.md", "performance.md"])
def test_every_test_that_is_named_exists(name: str) -> None:
    named = _TEST.findall(text_of(DOCS / name))
    assert named
    for file, test in named:
        path = ROOT / file
        assert path.exists(), f"{file} does not exist"
        assert re.search(rf"^\s*(?:async )?def {test}\(", text_of(path), re.MULTILINE), f"{file}::{test}"


def test_the_docs_are_many_enough_to_be_the_demonstrations_corpus() -> None:
    assert len(list(DOCS.rglob("*.md"))) >= 25
