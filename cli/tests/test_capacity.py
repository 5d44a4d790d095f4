"""What servers bear is what was measured, less the headroom, and never invented."""

import json
from pathlib import Path
from typing import Any

import pytest
from ragwork_cli import capacity
from ragwork_cli.console import TerminalConsole
from ragwork_hooks.errors import ConfigError

SATURATION = {
    "scenario": "saturation",
    "generated_at": "2026-12-01T06:00:00+00:00",
    "summary": {
        "route_class": {kind: {"p95_ms": 12.5} for kind in ("run", "read", "mutation", "ops")},
        "extra": {
            "run_rps": 100.0,
            "read_rps": 1000.0,
            "mutation_rps": 200.0,
            "ops_rps": 400.0,
            "documents_per_s": 50.0,
        },
    },
}


async def estimated(folder: Path, reports: list[Any], headroom: str = "0.30") -> dict[str, Any]:
    report = folder / "latest.json"
    report.write_text(json.dumps({"reports": reports}))
    options = {
        "report": str(report),
        "headroom": headroom,
        "json_out": str(folder / "model.json"),
        "md_out": str(folder / "model.md"),
    }
    assert await capacity.estimate(options, folder, TerminalConsole(json=True)) == 0
    model: dict[str, Any] = json.loads((folder / "model.json").read_text())
    return model


async def test_each_size_bears_what_its_processes_were_measured_to_less_the_headroom(tmp_path: Path) -> None:
    model = await estimated(tmp_path, [{"scenario": "run_mixed"}, SATURATION])
    assert model["headroom"] == 0.3
    small, medium, large = model["tiers"]
    assert small["sustainable_rps"] == {"run": 70.0, "read": 700.0, "mutation": 140.0, "ops": 280.0}
    assert [tier["ingestion"]["documents_per_s"] for tier in (small, medium, large)] == [35.0, 70.0, 140.0]
    assert [tier["max_concurrent_streams"] for tier in (small, medium, large)] == [700, 1400, 2800]
    page = (tmp_path / "model.md").read_text()
    assert "| small | 1 | 70.0 | 700.0 | 140.0 | 280.0 | 700 | 35.0 |" in page
    assert "2026-12-01T06:00:00+00:00" in page


@pytest.mark.parametrize(
    ("reports", "headroom", "names"),
    [
        ([{"scenario": "run_mixed"}], "0.30", "--report"),
        ([SATURATION], "1", "--headroom"),
        ([SATURATION], "-0.1", "--headroom"),
        ([SATURATION], "a third", "--headroom"),
        ([SATURATION], "nan", "--headroom"),
    ],
)
async def test_what_it_cannot_be_made_from_is_named(
    tmp_path: Path, reports: list[Any], headroom: str, names: str
) -> None:
    with pytest.raises(ConfigError, match=names):
        await estimated(tmp_path, reports, headroom)


async def test_a_report_that_is_none_is_named_with_what_makes_one(tmp_path: Path) -> None:
    options = {"report": str(tmp_path / "none.json"), "headroom": "0.30", "json_out": None, "md_out": None}
    with pytest.raises(ConfigError, match="make perf-test"):
        await capacity.estimate(options, tmp_path, TerminalConsole(json=True))
