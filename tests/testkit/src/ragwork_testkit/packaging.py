"""The contract of a plugin's package: what an operator may rely on before and after installing it.

    class TestPackaging(PackagingContract):
        folder = Path(__file__).parents[1]

Set ``folder`` to the folder of the ``pyproject.toml``, or ``distribution`` to an installed name.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Final, TypeAlias

import pytest
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.provider_kinds import KINDS
from ragwork_kernel.data import migrations

from ragwork_testkit.contract_base import Contract
from ragwork_testkit.package import Broken, Package, declared, same_name, words

HOOKS: Final = "ragwork-hooks"
TOOLKIT: Final = "ragwork-toolkit"
#: Entry point groups ``ragwork.<name>`` that the kernel opens before any plugin.
EARLY: Final = ("blob", "database", "state", "tracing")
#: What importing a plugin may bring along: the hooks, what they stand on, and what loads in a millisecond.
LIGHT: Final = frozenset({"ragwork_hooks", "ragwork_toolkit", "attr", "attrs", "pluggy", "orjson"})
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_README_CHARS = 200
#: Everything wrong with one side of a package, one sentence each; empty when all is well.
Check: TypeAlias = Callable[[Package], Iterable[str]]


def says_what_it_is(package: Package) -> Iterator[str]:
    """Name, description, license and Python range are in the metadata."""
    for field in ("name", "description", "license", "requires_python"):
        if not getattr(package, field):
            yield f"[project] {field.replace('_', '-')} is empty"


def has_a_readme(package: Package) -> Iterator[str]:
    """The README is part of the metadata and more than a heading."""
    if len(package.readme.strip()) < _README_CHARS:
        yield f"the README has fewer than {_README_CHARS} characters, or [project] readme does not name it"


def gives_ranges_not_pins(package: Package) -> Iterator[str]:
    """A pin in a library forbids an operator to update anything else; a missing floor promises too much."""
    for requirement in package.dependencies:
        operators = {clause.operator for clause in requirement.specifier}
        if requirement.url:
            yield f"{requirement.name} comes from a URL: name a range of releases"
        elif operators & {"==", "==="}:
            yield f"{requirement} is a pin: give a range"
        elif not operators & {">=", ">", "~="}:
            yield f"{requirement} has no floor: say the oldest release that works"


def depends_on_the_hooks_alone(package: Package) -> Iterator[str]:
    """Of Ragwork, a plugin declares and imports ``ragwork_hooks``, ``ragwork_toolkit`` if it likes, nothing else."""
    ours = [r.name for r in package.dependencies if r.name.replace("_", "-").startswith("ragwork-")]
    if not any(same_name(name, HOOKS) for name in ours):
        yield f"{HOOKS} is not among the dependencies"
    theirs = [name for name in ours if not same_name(name, HOOKS) and not same_name(name, TOOLKIT)]
    yield from (f"depends on {name}" for name in theirs)
    allowed = {"ragwork_hooks", "ragwork_toolkit", package.module}
    foreign = {(p.name, m) for p, m in package.imports() if m.startswith("ragwork_") and m not in allowed}
    yield from (f"{name} imports {module}" for name, module in sorted(foreign))


def offers_entry_points(package: Package) -> Iterator[str]:
    """One plugin, and providers of known kinds, each under the name that it gives itself."""
    name, _ = package.plugin
    if not _NAME.fullmatch(name):
        yield f"the plugin's name {name!r} is not lower case letters, digits and underscores"
    facts = package.facts["providers"]
    known = {*EARLY, *(kind.name for kind in KINDS), *package.facts["plugin"]["kinds"]}
    if not known.issuperset(kind for kind, _, _ in package.providers):
        known |= declared()
    for kind, provider, target in package.providers:
        if kind not in known:
            yield f"ragwork.{kind} is no kind of provider that an installed plugin declares: {', '.join(sorted(known))}"
        elif facts[target]["name"] != provider:
            yield f"the {kind} provider {provider!r} calls itself {facts[target]['name']!r}"


def knows_itself(package: Package) -> Iterator[str]:
    """``PluginInfo`` has the entry point's name, a summary, and this hooks API."""
    facts, (name, _) = package.facts["plugin"], package.plugin
    if facts["name"] != name:
        yield f"the entry point says {name!r}, PluginInfo says {facts['name']!r}"
    if not facts["summary"]:
        yield "PluginInfo.summary is empty"
    if facts["hooks_api"] != facts["hooks_api_here"]:
        yield f"is written for hooks API {facts['hooks_api']}; installed is {facts['hooks_api_here']}"


def imports_lightly(package: Package) -> Iterator[str]:
    """Every start of every process imports the plugin: vendor SDKs wait until a binding needs them."""
    heavy = sorted(set(package.facts["plugin"]["brought"]) - LIGHT - {package.module})
    if heavy:
        yield f"importing {package.module} also imports {', '.join(heavy)}: import them where they are used"


def documents_its_settings(package: Package) -> Iterator[str]:
    """An operator finds every setting in the README."""
    known = words(package.readme)
    missing = [env for env in package.facts["plugin"]["settings"] if not words(env) <= known]
    yield from (f"the README does not name the setting {env}" for env in missing)


def is_typed(package: Package) -> Iterator[str]:
    """``py.typed`` lets its users' type checkers see it."""
    if "py.typed" not in {path.name for path in package.files()}:
        yield f"{package.module}/py.typed is missing"


def has_orderly_migrations(package: Package) -> Iterator[str]:
    """Numbered from 0001 without a gap, each saying its kind, readable as the kernel reads them."""
    facts = package.facts["plugin"]
    shipped = {path.parent for path in package.files() if path.suffix == ".sql"}
    if facts["migrations"] is None:
        yield from (f"{folder.name} has SQL files, but PluginInfo.migrations is None" for folder in shipped)
        return
    if not facts["schema"]:
        yield "PluginInfo has migrations but no schema"
        return
    folder = Path(facts["migrations"])
    source = migrations.Source(plugin=facts["name"], schema=facts["schema"], folder=folder)
    try:
        if not migrations.read(source):
            yield f"{folder} holds no migration"
    except (ConfigError, OSError, UnicodeDecodeError) as error:
        yield str(error)


CHECKS: Final[Mapping[str, Check]] = {
    "metadata": says_what_it_is,
    "readme": has_a_readme,
    "ranges": gives_ranges_not_pins,
    "hooks alone": depends_on_the_hooks_alone,
    "entry points": offers_entry_points,
    "identity": knows_itself,
    "light import": imports_lightly,
    "settings": documents_its_settings,
    "typed": is_typed,
    "migrations": has_orderly_migrations,
}


def problems(package: Package, check: Check) -> list[str]:
    """What ``check`` finds; a package that can't be looked at is a problem, not a crash."""
    try:
        return list(check(package))
    except Broken as error:
        return [str(error)]


class PackagingContract(Contract):
    """One test per check of ``CHECKS``."""

    folder: ClassVar[Path]
    distribution: ClassVar[str | None] = None

    @pytest.fixture(scope="class")
    @classmethod
    def package(cls) -> Package:
        """Read once for the class: its facts cost an interpreter's start."""
        if cls.distribution is not None:
            return Package.of_distribution(cls.distribution)
        return Package.of_folder(cls.folder)

    @pytest.mark.parametrize("check", CHECKS.values(), ids=[*CHECKS])
    def test_the_package_is_in_order(self, package: Package, check: Check) -> None:
        """A package is what an operator may rely on: mend what is listed."""
        found = problems(package, check)
        assert not found, f"{package.name}: " + "; ".join(found)
