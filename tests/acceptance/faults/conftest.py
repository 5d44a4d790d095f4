"""Installs plugins for one test: a module and its entry points on ``sys.path``, as a wheel would bring them."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from stevedore.extension import ExtensionManager

FAULTY = Path(__file__).with_name("faulty_plugin") / "ragwork_faulty.py"
#: The same provider under two names has two circuits.
ENTRY_POINTS: Mapping[str, Mapping[str, str]] = {
    "ragwork.plugins": {"faulty": "ragwork_faulty:plugin"},
    "ragwork.retrieval": {
        "faulty": "ragwork_faulty:retriever",
        "faulty_too": "ragwork_faulty:retriever",
        "faulty_unloadable": "ragwork_faulty.missing:retriever",
        "faulty_no_provider": "ragwork_faulty:no_provider",
    },
    "ragwork.llm": {"faulty": "ragwork_faulty:model"},
}
Install = Callable[[str, str, Mapping[str, Mapping[str, str]]], Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """``install(module, its source, entry points)``: the folder that stands on ``sys.path`` now."""

    def put(module: str, source: str, points: Mapping[str, Mapping[str, str]]) -> Path:
        folder = tmp_path / f"site-{module}"
        described = folder / f"{module}-1.0.dist-info"
        described.mkdir(parents=True)
        (folder / f"{module}.py").write_text(source)
        (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines = [
            line
            for group, named in points.items()
            for line in (f"[{group}]", *(f"{name} = {target}" for name, target in named.items()))
        ]
        (described / "entry_points.txt").write_text("\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(folder)
        # stevedore remembers for the life of a process what was installed; a server is started after it.
        monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})
        return folder

    return put


@pytest.fixture
def faulty(install: Install) -> str:
    """The name of the plugin that goes wrong as told, installed."""
    install("ragwork_faulty", FAULTY.read_text(), ENTRY_POINTS)
    return "faulty"
