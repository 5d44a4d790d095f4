"""``ragwork capacity estimate``: how much a server of some size bears, from the report of a load that filled it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ragwork_hooks.commands import Option
from ragwork_hooks.errors import ConfigError

from ragwork_cli.console import TerminalConsole

#: The scenario that asks for one kind of request at a time, as fast as it is answered.
_SATURATION: Final = "saturation"
_KINDS: Final = ("run", "read", "mutation", "ops")
OPTIONS: Final = (
    Option(name="headroom", help="share of what was measured that is kept free", default="0.30"),
    Option(
        name="report",
        help="what `make perf-test` wrote",
        default="tests/perf/reports/perf-gates-latest.json",
    ),
    Option(name="json-out", help="file to write the model to, as JSON"),
    Option(name="md-out", help="file to write the model to, as a page"),
)
#: Server processes of each size.
_REPLICAS: Final = {"small": 1, "medium": 2, "large": 4}
#: What a stream takes with a language model that writes as fast as people read.
_STREAM_S: Final = 10.0


async def estimate(options: Mapping[str, Any], _data_dir: Path, console: TerminalConsole) -> int:
    """The command. Raises ``ConfigError`` when there is no report to estimate from, or nothing would be left."""
    headroom = _share(options["headroom"])
    model = capacity_model(_saturation(Path(options["report"])), headroom)
    page = markdown(model)
    _write(options["json_out"], json.dumps(model, indent=2) + "\n")
    _write(options["md_out"], page)
    console.result(model, page)
    return 0


def capacity_model(report: Mapping[str, Any], headroom: float) -> dict[str, Any]:
    """What servers bear of each kind of request alone, with ``headroom`` (a share) kept free."""
    summary = report["summary"]
    extra, classes = summary["extra"], summary["route_class"]
    free = 1 - headroom
    tiers = []
    for tier, replicas in _REPLICAS.items():
        rates = {kind: round(extra[f"{kind}_rps"] * replicas * free, 1) for kind in _KINDS}
        tiers.append(
            {
                "tier": tier,
                "sustainable_rps": rates,
                "latency_ms": {kind: classes[kind]["p95_ms"] for kind in _KINDS},
                "max_concurrent_streams": int(rates["run"] * _STREAM_S),
                "ingestion": {"documents_per_s": round(extra["documents_per_s"] * replicas * free, 1)},
                "replicas": replicas,
            }
        )
    assumptions = [
        f"measured by the scenario {_SATURATION} at {report['generated_at']}, each kind of request alone",
        "each process has the cores that the measured one had, and Postgres what it needs for all of them",
        f"a stream lasts {_STREAM_S:g} s; the model's own limits are not in it",
    ]
    return {"headroom": headroom, "assumptions": assumptions, "tiers": tiers}


def markdown(model: Mapping[str, Any]) -> str:
    """The model on a page."""
    lines = [
        "# Capacity",
        "",
        f"With {model['headroom']:.0%} kept free. Made by `ragwork capacity estimate`.",
        "",
        "| size | processes | runs/s | reads/s | changes/s | operations/s | streams at once | documents/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for tier in model["tiers"]:
        cells = (
            tier["tier"],
            tier["replicas"],
            *(tier["sustainable_rps"][kind] for kind in _KINDS),
            tier["max_concurrent_streams"],
            tier["ingestion"]["documents_per_s"],
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    latencies = model["tiers"][0]["latency_ms"]
    lines += ["", "Under full load, 95 of 100 are answered within:", ""]
    lines += [f"- {kind}: {latencies[kind]} ms" for kind in _KINDS]
    lines += ["", "Assumed:", "", *(f"- {each}" for each in model["assumptions"]), ""]
    return "\n".join(lines)


def _write(path: str | None, text: str) -> None:
    if path:
        Path(path).write_text(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise ConfigError("--headroom", f"{text!r} is no share from 0 to below 1", "write it like 0.30")
    return share


def _saturation(path: Path) -> Mapping[str, Any]:
    fix = "make one with `make perf-test` in a checkout, and name it with --report"
    try:
        reports: Sequence[Mapping[str, Any]] = json.loads(path.read_text())["reports"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError("--report", f"{path} is no performance report: {error}", fix) from error
    for report in reports:
        if report.get("scenario") == _SATURATION:
            return report
    raise ConfigError("--report", f"{path} has no report of the scenario {_SATURATION}", fix)
