"""How well a plugin is proved: ``python -m ragwork_testkit.tier FOLDER`` prints its tier as JSON.

``bronze``: the package is in order. ``silver``: and its tests pass, with the contract kit of every kind of provider
that it offers. ``gold``: and it is typed strictly, documents what a corpus may set, and excuses no failing test
without a reason. Silver and gold need the tier before.
"""

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
import pytest

from ragwork_testkit.package import Broken, Package, words
from ragwork_testkit.packaging import CHECKS, problems

TIERS: Final = ("bronze", "silver", "gold")
#: The contract classes of each kind, by name: pytest must be the first to import them.
KITS: Final[Mapping[str, tuple[str, ...]]] = {
    "llm": ("ragwork_testkit.llm.ChatModelContract",),
    "embedding": ("ragwork_testkit.embedding.EmbedderContract",),
    "retrieval": (
        "ragwork_testkit.retrieval.RetrieverContract",
        "ragwork_testkit.remote_retrieval.RemoteRetrieverContract",
    ),
    "tts": ("ragwork_testkit.speech.SpeechSynthesizerContract",),
    "asr": ("ragwork_testkit.speech.SpeechRecognizerContract",),
}


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that was looked at; ``problems`` is empty when all is well."""

    tier: str
    check: str
    problems: Sequence[str]


@attrs.define(eq=False)  # pytest keeps its plugins in sets
class Outcomes:
    """A pytest plugin that remembers what ran. ``unproved`` maps each kit to those of its tests that no class of the
    package has passed, or failed with a reason given.
    """

    passed: int = 0
    unproved: dict[str, set[str]] = attrs.field(factory=dict)
    failed: list[str] = attrs.field(factory=list)
    excuses: list[str] = attrs.field(factory=list)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for mark in item.iter_markers("xfail"):
                if not mark.kwargs.get("reason"):
                    self.excuses.append(f"{item.nodeid} is marked xfail without a reason")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report: pytest.TestReport = yield  # type: ignore[assignment]  # the wrapped hooks' result
        if report.failed:
            self.failed.append(f"{item.nodeid} failed: {_last_line(report.longreprtext)}")
        elif report.when == "call" and (report.passed or hasattr(report, "wasxfail")):
            self.passed += report.passed
            if isinstance(item, pytest.Function) and item.cls is not None:
                self._prove(item.cls, item.originalname)
        return report  # type: ignore[return-value]

    def _prove(self, cls: type, test: str) -> None:
        for kit in cls.__mro__:
            tests = {name for name in dir(kit) if name.startswith("test_")}
            self.unproved.setdefault(f"{kit.__module__}.{kit.__qualname__}", tests).discard(test)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.append(f"{report.nodeid} can't be collected: {_last_line(report.longreprtext)}")


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith("E ")] or text.splitlines() or [""]
    return lines[0].removeprefix("E ").strip()


def examine(folder: Path) -> list[Finding]:
    """Findings up to the first tier that is missed. Raises ``Broken`` when there is no package to look at."""
    package = Package.of_folder(folder)
    findings = [
        Finding(tier="bronze", check=name, problems=problems(package, check))
        for name, check in CHECKS.items()
    ]
    if any(finding.problems for finding in findings):
        return findings
    outcomes = _run_tests(folder)
    findings.append(Finding(tier="silver", check="own tests", problems=_tests(outcomes)))
    findings.append(Finding(tier="silver", check="contract kits", problems=_kits(package, outcomes)))
    if any(finding.problems for finding in findings):
        return findings
    findings.append(Finding(tier="gold", check="strict types", problems=_types(folder)))
    findings.append(Finding(tier="gold", check="options documented", problems=_options(package)))
    findings.append(Finding(tier="gold", check="excuses", problems=outcomes.excuses))
    return findings


def tier_of(findings: Sequence[Finding]) -> str | None:
    """The highest tier whose findings, and those of the tiers before, are all without problems."""
    reached = None
    for tier in TIERS:
        of_tier = [finding for finding in findings if finding.tier == tier]
        if not of_tier or any(finding.problems for finding in of_tier):
            break
        reached = tier
    return reached


def _run_tests(folder: Path) -> Outcomes:
    outcomes, said = Outcomes(), io.StringIO()
    arguments = ["-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder / "tests")]
    with contextlib.redirect_stdout(said), contextlib.chdir(folder):
        status = pytest.main(arguments, plugins=[outcomes])
    ran = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
    if status not in ran and not outcomes.failed:
        last = said.getvalue().strip().splitlines()[-1:] or [f"status {status}"]
        outcomes.failed.append(f"pytest could not run: {last[0]}")
    return outcomes


def _tests(outcomes: Outcomes) -> list[str]:
    return outcomes.failed if outcomes.failed or outcomes.passed else ["there is no test"]


def _kits(package: Package, outcomes: Outcomes) -> list[str]:
    found: list[str] = []
    for kind in sorted({kind for kind, _, _ in package.providers if kind in KITS}):
        unproved = {kit: outcomes.unproved[kit] for kit in KITS[kind] if kit in outcomes.unproved}
        if not unproved:
            found.append(f"no test subclasses the kit of kind {kind}: {' or '.join(KITS[kind])}")
        elif all(unproved.values()):
            kit, tests = min(unproved.items(), key=lambda each: len(each[1]))
            found.append(f"the kit of kind {kind}, {kit}, is not proved whole: {', '.join(sorted(tests))}")
    return found


def _types(folder: Path) -> list[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "src"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    if done.returncode == 0:
        return []
    return (done.stdout or done.stderr).strip().splitlines() or ["mypy failed"]


def _options(package: Package) -> list[str]:
    known, facts = words(package.readme), package.facts["providers"]
    return [
        f"the README does not name the option {option!r} of {name}"
        for _, name, target in package.providers
        for option in facts[target]["options"]
        if option not in known
    ]


def main(arguments: Sequence[str]) -> int:
    (folder,) = arguments
    place = Path(folder).resolve()
    try:
        findings = examine(place)
    except Broken as error:
        findings = [Finding(tier="bronze", check="package", problems=[str(error)])]
    report = {
        "folder": str(place),
        "tier": tier_of(findings),
        "findings": [attrs.asdict(finding) for finding in findings],
    }
    sys.stdout.write(json.dumps(report))
    return 0 if report["tier"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
