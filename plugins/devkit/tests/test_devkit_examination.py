"""What ``ragwork plugin test`` says and how it ends: any FAIL is exit 1, and so is a test that hangs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ragwork_devkit.examination import judged, shown

GOOD = {"tier": "bronze", "check": "readme", "problems": []}


def finding(tier: str, *problems: str) -> dict[str, Any]:
    return {"tier": tier, "check": f"a {tier} check", "problems": list(problems)}


@pytest.mark.parametrize(
    ("tier", "failing", "required", "status", "begins"),
    [
        ("gold", (), None, 0, "OK: tier gold"),
        ("silver", ("gold",), None, 1, "FAIL: a gold check (tier: silver)"),
        ("silver", ("gold",), "silver", 0, "OK: tier silver"),
        ("silver", ("gold",), "gold", 1, "FAIL: a gold check (tier: silver, gold was required)"),
        (
            "bronze",
            ("silver", "gold"),
            "silver",
            1,
            "FAIL: a silver check (tier: bronze, silver was required)",
        ),
        (None, ("bronze",), "bronze", 1, "FAIL: a bronze check (tier: none, bronze was required)"),
    ],
)
def test_any_failure_up_to_the_required_tier_is_exit_1(
    tier: str | None, failing: tuple[str, ...], required: str | None, status: int, begins: str
) -> None:
    report = {"tier": tier, "findings": [GOOD, *(finding(each, "wrong") for each in failing)]}
    assert judged(report, required) == (begins, status)
    assert shown(report).splitlines()[0] == "ok    bronze  readme"


HANGING = """
import threading

def test_before():
    pass

def test_that_waits():
    threading.Event().wait()

def test_after():
    pass
"""
RUN = """
import json, sys, pytest
from ragwork_testkit import outcomes
outcomes.TEST_S = 0.3
told = []
ran = outcomes.Outcomes(told.append)
pytest.main(["-q", "-p", "no:cacheprovider", sys.argv[1]], plugins=[ran])
sys.stderr.write(json.dumps({"failures": ran.failures(), "passed": ran.passed, "told": told}))
"""


def test_a_test_that_hangs_is_told_while_it_runs_and_fails_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "test_hanging.py").write_text(HANGING)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path)],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    seen = json.loads(done.stderr.splitlines()[-1])
    [failure] = seen["failures"]
    assert failure.startswith(
        "test_hanging.py::test_that_waits failed: a test ends within 0.3 s: give what it waits for"
    )
    assert "it stood at" in failure
    assert seen["passed"] == 2
    begun = [event["number"] for event in seen["told"] if event["event"] == "begun"]
    said = [event["said"] for event in seen["told"] if event["event"] == "tested"]
    assert (begun, said) == ([1, 2, 3], ["ok", "FAIL", "ok"])
