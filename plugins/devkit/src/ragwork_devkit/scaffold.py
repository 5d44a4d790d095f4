"""A new plugin's files, made from the template beside this module.

A template file ends in ``.in``. ``%%name%%`` and its like are replaced in its text; in its path ``package``
stands for the import package, and ``test_…`` gets the plugin's name, so that no two plugins' tests are called alike.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files as resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from ragwork_hooks.errors import ConfigError

from ragwork_devkit.kinds import Kind
from ragwork_devkit.names import distribution

_SHARED: Final = "shared"
_MARK: Final = re.compile(r"%%(\w+)%%")


def plan(kind: Kind, name: str) -> Mapping[Path, str]:
    """Relative path → content of every file of a plugin ``name``."""
    marks = _marks(kind, name)
    root = resources("ragwork_devkit") / "template"
    made: dict[Path, str] = {}
    for part in (_SHARED, kind.name):
        for path, text in _walk(root / part):
            made[_placed(path, name)] = _MARK.sub(lambda mark: marks[mark[1]], text)
    return made


def write(folder: Path, planned: Mapping[Path, str]) -> None:
    """Write every file below ``folder``. Raises ``ConfigError`` when it is there and not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(str(folder), "exists and is not empty", "choose another name or --into folder")
    for path, text in planned.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def _marks(kind: Kind, name: str) -> Mapping[str, str]:
    package = f"ragwork_{name}"
    provider = ""
    if kind.provider is not None:
        module, group = kind.provider
        provider = f'\n[project.entry-points."{group}"]\n{name} = "{package}.{module}:provider"\n'
    return {
        "name": name,
        "NAME": name.upper(),
        "Class": "".join(part.capitalize() for part in name.split("_")),
        "package": package,
        "distribution": distribution(name),
        "summary": kind.summary,
        "provider": provider,
    }


def _walk(folder: Traversable, below: Path = Path()) -> Iterator[tuple[Path, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, below / entry.name)
        elif entry.name.endswith(".in"):
            yield below / entry.name.removesuffix(".in"), entry.read_text(encoding="utf-8")


def _placed(path: Path, name: str) -> Path:
    parts = [f"ragwork_{name}" if part == "package" else part for part in path.parts]
    parts[-1] = re.sub(r"^test_", f"test_{name}_", parts[-1])
    return Path(*parts)
