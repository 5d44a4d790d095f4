"""A plugin's package as its installer sees it: metadata from a source folder or from what is installed."""

import ast
import contextlib
import gc
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PLUGINS = "ragwork.plugins"


class Broken(Exception):
    """The package can't even be looked at; the text says why."""


@attrs.frozen(kw_only=True, slots=False)
class Package:
    """One plugin's package. ``sources`` is the folder to import from, ``None`` for what is installed;
    ``entry_points`` maps groups to names to ``module:attribute``.
    """

    name: str
    description: str
    requires_python: str
    license: str
    readme: str
    dependencies: Sequence[Requirement]
    entry_points: Mapping[str, Mapping[str, str]]
    sources: Path | None

    @classmethod
    def of_folder(cls, folder: Path) -> "Package":
        """From the ``pyproject.toml`` of a source folder. Raises ``Broken``."""
        try:
            project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
        except FileNotFoundError:
            raise Broken(f"{folder} has no pyproject.toml") from None
        except (tomllib.TOMLDecodeError, KeyError) as error:
            raise Broken(f"{folder}/pyproject.toml is not a project: {error}") from error
        readme = folder / str(project.get("readme", ""))
        return cls(
            name=str(project.get("name", "")),
            description=str(project.get("description", "")),
            requires_python=str(project.get("requires-python", "")),
            license=str(project.get("license", "")),
            readme=readme.read_text("utf-8") if readme.is_file() else "",
            dependencies=[Requirement(text) for text in project.get("dependencies", ())],
            entry_points=project.get("entry-points", {}),
            sources=(folder / "src").resolve(),
        )

    @classmethod
    def of_distribution(cls, name: str) -> "Package":
        """From the metadata of what is installed. Raises ``Broken``."""
        try:
            installed = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise Broken(f"{name} is not installed") from None
        points: dict[str, dict[str, str]] = {}
        for point in installed.entry_points:
            points.setdefault(point.group, {})[point.name] = point.value
        about = installed.metadata.json
        return cls(
            name=installed.name,
            description=str(about.get("summary", "")),
            requires_python=str(about.get("requires_python", "")),
            license=str(about.get("license_expression", "")),
            readme=str(about.get("description", "")),
            dependencies=[Requirement(text) for text in installed.requires or ()],
            entry_points=points,
            sources=None,
        )

    @property
    def plugin(self) -> tuple[str, str]:
        """Entry point name and target of the one plugin in it. Raises ``Broken``."""
        plugins = self.entry_points.get(PLUGINS, {})
        if len(plugins) != 1:
            raise Broken(f"offers {len(plugins)} entry points of the group {PLUGINS}; there must be one")
        ((name, target),) = plugins.items()
        return name, target

    @property
    def providers(self) -> Iterator[tuple[str, str, str]]:
        """Kind, name and target of every provider."""
        for group, points in self.entry_points.items():
            if group.startswith("ragwork.") and group != PLUGINS:
                for name, target in points.items():
                    yield group.removeprefix("ragwork."), name, target

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """What ``ragwork_testkit.inspection`` found in a fresh interpreter. Raises ``Broken``."""
        targets = [self.plugin[1], *(target for _, _, target in self.providers)]
        command = [sys.executable, "-m", "ragwork_testkit.inspection", str(self.sources or "-"), *targets]
        # Away from the working directory, which Python would search first.
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(sys.prefix), timeout=60)
        if done.returncode:
            raise Broken(f"can't be imported: {done.stderr.strip().splitlines()[-1]}")
        facts: Mapping[str, Any] = json.loads(done.stdout)
        return facts

    @property
    def module(self) -> str:
        """The import package that the plugin's entry point names."""
        return self.plugin[1].partition(":")[0].partition(".")[0]

    def files(self) -> list[Path]:
        """Every file of the import package; none when it can't be found."""
        roots = [self.sources / self.module] if self.sources is not None else _places(self.module)
        files = (path for root in roots for path in root.rglob("*") if path.is_file())
        return sorted(path for path in files if "__pycache__" not in path.parts)

    def imports(self) -> Iterator[tuple[Path, str]]:
        """File and top-level module of every import statement, wherever it stands."""
        for path in self.files():
            if path.suffix != ".py":
                continue
            for node in ast.walk(_parsed(path.read_text("utf-8"))):
                if isinstance(node, ast.Import):
                    yield from ((path, alias.name.partition(".")[0]) for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    yield path, node.module.partition(".")[0]


def _parsed(source: str) -> ast.Module:
    """The tree of ``source``, made without a garbage collection: a finalizer that parses too breaks CPython 3.11's
    count of its depth (SystemError).
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if was_enabled:
            gc.enable()


def declared() -> set[str]:
    """The kinds of providers that installed plugins declare; what can't be imported declares none."""
    found: set[str] = set()
    for point in metadata.entry_points(group=PLUGINS):
        with contextlib.suppress(Exception):
            found.update(kind.name for kind in point.load().ragwork_info().kinds)
    return found


def _places(module: str) -> list[Path]:
    """Where a top-level package is installed, without importing it."""
    spec = find_spec(module)
    return [] if spec is None else [Path(place) for place in spec.submodule_search_locations or ()]


def same_name(first: str, second: str) -> bool:
    """Whether two distribution names are one to an installer."""
    return canonicalize_name(first) == canonicalize_name(second)


def words(text: str) -> set[str]:
    """The words of a text, underscores and pattern parts (``TIMEOUT_<PROVIDER>_S``) included."""
    return set(re.findall(r"[A-Za-z0-9_<>]+", text))
