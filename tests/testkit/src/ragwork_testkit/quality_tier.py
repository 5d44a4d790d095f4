"""How well a plugin is proved: ``python -m ragwork_testkit.quality_tier FOLDER`` prints what happens as JSON, one event
a line, and last its report.

``bronze``: the package is in order. ``silver``: and its tests pass, with the contract kit of every kind of provider
that it offers. ``gold``: and it is typed strictly, documents what a corpus may set, and excuses no failing test
without a reason. Silver and gold need the tier before; every check is made whatever the others found.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from ragwork_testkit.outcomes import Outcomes
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
    "policy_engine": ("ragwork_testkit.policy_engine.PolicyEngineContract",),
    "notification": ("ragwork_testkit.channels.ChannelContract",),
    "parser": ("ragwork_testkit.parser.ParserContract",),
    "reranker": ("ragwork_testkit.reranking.RerankerContract",),
    "connector": ("ragwork_testkit.connector.ConnectorContract",),
}
#: Takes an event of the examination.
Tell: TypeAlias = Callable[[Mapping[str, object]], None]


@attrs.frozen(kw_only=True)
class TierFinding:
    """One thing that was looked at; ``problems`` is empty when all is well."""

    tier: str
    check: str
    problems: Sequence[str]


def examine(folder: Path, tell: Tell) -> Iterator[TierFinding]:
    """Every finding as it is made. Raises ``Broken`` when there is no package to look at."""
    package = Package.of_folder(folder)
    for name, check in CHECKS.items():
        yield TierFinding(tier="bronze", check=name, problems=problems(package, check))
    tell({"event": "doing", "what": "collecting the tests"})
    outcomes = _run_tests(folder, tell)
    yield TierFinding(tier="silver", check="own tests", problems=_tests(outcomes))
    yield TierFinding(tier="silver", check="contract kits", problems=_kits(package, outcomes))
    tell({"event": "doing", "what": "checking the types"})
    yield TierFinding(tier="gold", check="strict types", problems=_types(folder))
    yield TierFinding(tier="gold", check="options documented", problems=problems(package, _options))
    yield TierFinding(tier="gold", check="excuses", problems=outcomes.excuses)


def tier_of(findings: Sequence[TierFinding]) -> str | None:
    """The highest tier whose findings, and those of the tiers before, are all without problems."""
    reached = None
    for tier in TIERS:
        of_tier = [finding for finding in findings if finding.tier == tier]
        if not of_tier or any(finding.problems for finding in of_tier):
            break
        reached = tier
    return reached


def _run_tests(folder: Path, tell: Tell) -> Outcomes:
    import pytest

    outcomes, said = Outcomes(tell), io.StringIO()
    arguments = ["-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder / "tests")]
    with contextlib.redirect_stdout(said), contextlib.chdir(folder):
        status = pytest.main(arguments, plugins=[outcomes])
    ran = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED)
    if status not in ran and not outcomes.failed:
        last = said.getvalue().strip().splitlines()[-1:] or [f"status {status}"]
        outcomes.fail("pytest", f"could not run: {last[0]}")
    return outcomes


def _tests(outcomes: Outcomes) -> list[str]:
    failures = outcomes.failures()
    return failures if failures or outcomes.passed else ["there is no test: write one below tests/"]


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
    if find_spec("mypy") is None:
        return ["mypy is not installed: `pip install mypy`"]
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "src"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    if done.returncode == 0:
        return []
    return (done.stdout or done.stderr).strip().splitlines() or ["mypy failed"]


def _options(package: Package) -> Iterator[str]:
    known, facts = words(package.readme), package.facts["providers"]
    for _, name, target in package.providers:
        for option in facts[target]["options"]:
            if option not in known:
                yield f"the README does not name the option {option!r} of {name}: say there what it does"


def main(arguments: Sequence[str]) -> int:
    (folder,) = arguments
    place = Path(folder).resolve()
    # Nothing that a test writes may stand between the events.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)

        def tell(event: Mapping[str, object]) -> None:
            out.write(json.dumps(event) + "\n")
            out.flush()

        findings: list[TierFinding] = []
        try:
            for finding in examine(place, tell):
                findings.append(finding)
                tell({"event": "finding", **attrs.asdict(finding)})
        except Broken as error:
            findings.append(TierFinding(tier="bronze", check="package", problems=[str(error)]))
        tier = tier_of(findings)
        tell(
            {
                "event": "report",
                "folder": str(place),
                "tier": tier,
                "findings": [attrs.asdict(finding) for finding in findings],
            }
        )
    return 0 if tier else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
