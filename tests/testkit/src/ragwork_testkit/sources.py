"""A plugin's source folder as if it were installed, for tests that start a platform with it."""

import importlib
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any


@contextmanager
def registered(folder: Path) -> Iterator[None]:
    """Entry points and code of ``folder`` (its ``pyproject.toml``, its ``src``) can be found inside the block.

    A plugin that is installed already is left as it is.
    """
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    if _is_installed(project["name"]):
        yield
        return
    with tempfile.TemporaryDirectory() as site:
        _describe(project, Path(site))
        added = [site, str(folder / "src")]
        sys.path[:0] = added
        importlib.invalidate_caches()
        try:
            yield
        finally:
            for entry in added:
                sys.path.remove(entry)


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _describe(project: Mapping[str, Any], site: Path) -> None:
    """The two files of a ``.dist-info`` that plugin discovery reads."""
    stem = project["name"].replace("-", "_")
    info = site / f"{stem}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines: list[str] = []
    for group, points in project.get("entry-points", {}).items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
