"""The plugins that the page of seams names for each seam do use it."""

import re
import tomllib

import pytest
from page import DOCS, ROOT

#: What a plugin's source has that uses the seam; a provider is seen in its entry points.
USES = {
    "Contribution": r"Contribution\(",
    "Capability": r"capabilities=",
    "Gate": r"gates=|authenticators=",
    "Event": r"sinks=|events\.publish\(",
    "Wrap": r"provider_middleware[=(]",
}
ROWS = re.findall(
    r"^\| (\w+) \|.*\| ((?:\[\w+\]\([^)]*\)(?:, )?)+) \|$",
    (DOCS / "explanation/seams.md").read_text(),
    re.MULTILINE,
)
NAMED = [(seam, plugin) for seam, links in ROWS for plugin in re.findall(r"\[(\w+)\]", links)]


def test_each_seam_names_two_plugins() -> None:
    assert [seam for seam, _ in NAMED] == [seam for seam, _ in ROWS for _ in range(2)]
    assert {seam for seam, _ in ROWS} == {*USES, "Provider"}


@pytest.mark.parametrize(("seam", "plugin"), NAMED)
def test_a_plugin_that_a_seam_names_uses_it(seam: str, plugin: str) -> None:
    folder = ROOT / "plugins" / plugin
    if seam == "Provider":
        groups = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["entry-points"]
        assert {*groups} - {"ragwork.plugins"}
    else:
        assert any(re.search(USES[seam], path.read_text()) for path in folder.glob("src/**/*.py"))
