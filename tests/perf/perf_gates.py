"""Scenarios with gates: ``python tests/perf/perf_gates.py [--integration] [--duration S] [scenario …]``.

Deterministic, one process answers, with a model and an embedder that cost next to nothing. With ``--integration`` the
embedder is the default one, jobs run in a worker of their own, and Valkey keeps what processes share. Reports go to
``PERF_REPORT_DIR``, else ``tests/perf/reports``: a JSON file for each scenario, ``perf-gates-latest.json`` with all and
what they violate, and ``perf-summary-latest.md`` for people. The status is 1 when a gate does not hold.

``--soak`` runs the ordinary day alone for ``PERF_SOAK_DURATION_MIN`` minutes; ``--report`` measures nothing and writes
the summary of the latest reports anew.
"""

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from perf_report import markdown, report
from processes import RAGWORK, Server, ragwork
from ragwork_testkit.valkey import ValkeyServer
from scenarios import BUSY, QUIET, SCENARIOS, Site

REPORTS = Path(os.environ.get("PERF_REPORT_DIR", Path(__file__).parent / "reports"))
LATEST = REPORTS / "perf-gates-latest.json"
TIER = "enterprise"
#: What each gate allows at most; the neighbour's share is a least.
THRESHOLDS = {
    "run_p95_ms": float(os.environ.get("PERF_RUN_TARGET_P95_MS", "1800")),
    "error_rate": float(os.environ.get("PERF_MAX_ERROR_RATE", "0.02")),
    "ingest_queue_wait_p95_ms": 2 * float(os.environ.get("PERF_RUN_TARGET_P95_MS", "1800")),
    "memory_growth_mb": 256.0,
    "noisy_neighbor_success_ratio": 0.75,
}
SOAK_MIN = float(os.environ.get("PERF_SOAK_DURATION_MIN", "15"))


def violations(each: Mapping[str, Any]) -> list[str]:
    """What of ``THRESHOLDS`` a report does not hold."""
    summary = each["summary"]
    figures = {
        "run_p95_ms": summary["route_class"].get("run", {}).get("p95_ms"),
        "error_rate": summary["overall"]["error_rate"],
        **summary["extra"],
    }
    found = []
    for name, limit in THRESHOLDS.items():
        figure = figures.get(name)
        least = name == "noisy_neighbor_success_ratio"
        if figure is not None and (figure < limit if least else figure > limit):
            found.append(f"{each['scenario']}: {name} is {figure}, the limit is {limit:g}")
    return found


@contextlib.contextmanager
def site(folder: Path, deterministic: bool) -> Iterator[Site]:
    """A server with two tenants and their corpus."""
    with contextlib.ExitStack() as stack:
        settings = {"LLM_PROVIDER": "fake", "PLAN_DEFAULT": TIER}
        if deterministic:
            settings["EMBEDDING_PROVIDER"] = "wordllama"
        else:
            valkey = ValkeyServer(folder).start()
            stack.callback(valkey.stop)
            settings |= {"REDIS_URL": valkey.url, "SERVE_WORKER": "false"}
        server = stack.enter_context(ragwork(folder / "data", **settings))
        if not deterministic:
            stack.enter_context(worker(server))
        keys = {}
        for tenant in (QUIET, BUSY):
            server.command("seed", "--tenant", tenant)
            keys[tenant] = server.key(tenant)
        yield Site(server, keys)


@contextlib.contextmanager
def worker(server: Server) -> Iterator[None]:
    process = subprocess.Popen(
        [RAGWORK, "worker", "--data-dir", str(server.data)], env=server.env, stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def measured(names: Sequence[str], seconds: float, deterministic: bool) -> list[dict[str, Any]]:
    reports = []
    with tempfile.TemporaryDirectory() as folder, site(Path(folder), deterministic) as served:
        for name in names:
            ended = asyncio.run(SCENARIOS[name](served, seconds))
            made = report(
                name, seconds, ended.seen, deterministic=deterministic, tier=TIER, extra=ended.extra
            )
            print(f"{name}: {made['summary']['overall']}", flush=True)
            reports.append(made)
    return reports


def write(reports: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """The reports; what they violate."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    found = [violation for each in reports for violation in violations(each)]
    requests = sum(each["summary"]["overall"]["requests"] for each in reports)
    failed = sum(
        each["summary"]["overall"]["requests"] * each["summary"]["overall"]["error_rate"] for each in reports
    )
    gates = {
        "aggregate": {"requests": requests, "error_rate": round(failed / max(requests, 1), 4)},
        "thresholds": THRESHOLDS,
        "violations": found,
        "reports": reports,
    }
    for each in reports:
        (REPORTS / f"{each['scenario']}.json").write_text(json.dumps(each, indent=2) + "\n")
    LATEST.write_text(json.dumps(gates, indent=2) + "\n")
    return found


def summarise() -> str:
    """The summary of the latest reports, which is written beside them, too."""
    latest = json.loads(LATEST.read_text())
    page = markdown(latest["reports"], latest["violations"])
    (REPORTS / "perf-summary-latest.md").write_text(page)
    return page


def main() -> int:
    parser = argparse.ArgumentParser(description="Scenarios with gates")
    # The empty list is what argparse holds to the choices when none is named.
    parser.add_argument("scenarios", nargs="*", choices=[*SCENARIOS, []])
    parser.add_argument("--integration", action="store_true")
    parser.add_argument("--duration", type=float, default=10.0, help="seconds of each scenario")
    parser.add_argument("--soak", action="store_true")
    parser.add_argument("--report", action="store_true")
    asked = parser.parse_args()
    if asked.report:
        print(summarise())
        return 0
    names = ["run_mixed"] if asked.soak else asked.scenarios or list(SCENARIOS)
    seconds = SOAK_MIN * 60 if asked.soak else asked.duration
    found = write(measured(names, seconds, not asked.integration))
    print(summarise())
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
