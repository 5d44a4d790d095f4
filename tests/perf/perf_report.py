"""What a scenario's observations add up to: the report as JSON, and as a page for people."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from workload import Observation


def report(
    scenario: str,
    seconds: float,
    observations: Sequence[Observation],
    *,
    deterministic: bool,
    tier: str,
    extra: Mapping[str, float],
) -> dict[str, Any]:
    """The report of one scenario."""
    by_class: dict[str, list[Observation]] = {}
    for each in observations:
        by_class.setdefault(each.route_class, []).append(each)
    return {
        "scenario": scenario,
        "duration_s": round(seconds, 1),
        "deterministic": deterministic,
        "generated_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "summary": {
            "overall": {
                "requests": len(observations),
                "error_rate": _share(observations, "error", "timeout"),
                "timeout_rate": _share(observations, "timeout"),
            },
            "route_class": {name: _class(seen) for name, seen in sorted(by_class.items())},
            "tier": tier,
            "sse": _streams(by_class.get("run", [])),
            "extra": {name: round(value, 3) for name, value in extra.items()},
        },
    }


def percentile(values: Iterable[float], share: float) -> float | None:
    """The value below which ``share`` of them lie; ``None`` of none."""
    ordered = sorted(values)
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 1) if ordered else None


def markdown(reports: Sequence[Mapping[str, Any]], violations: Sequence[str]) -> str:
    """All reports on one page."""
    lines = [
        "# Performance scenarios",
        "",
        "| scenario | route class | requests | p50 ms | p95 ms | p99 ms | error rate | shed | limited |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in reports:
        for name, row in each["summary"]["route_class"].items():
            limited = row["rate_limited_count"] + row["quota_count"]
            lines.append(
                f"| {each['scenario']} | {name} | {row['count']} | {row['p50_ms']} | {row['p95_ms']} | {row['p99_ms']}"
                f" | {row['error_rate']} | {row['shed_count']} | {limited} |"
            )
    lines += ["", "| scenario | what else | |", "|---|---|---|"]
    for each in reports:
        summary = each["summary"]
        for name, value in (*summary["sse"].items(), *summary["extra"].items()):
            lines.append(f"| {each['scenario']} | {name} | {value} |")
    lines += ["", "## Gates", "", *(violations or ["All held."]), ""]
    return "\n".join(lines)


def _class(seen: Sequence[Observation]) -> dict[str, Any]:
    def counted(outcome: str) -> int:
        return sum(each.outcome == outcome for each in seen)

    answered = [each.ms for each in seen if each.outcome == "ok"]
    return {
        "count": len(seen),
        **{f"p{share}_ms": percentile(answered, share / 100) for share in (50, 95, 99)},
        "error_rate": _share(seen, "error", "timeout"),
        "shed_count": counted("shed"),
        "degrade_count": sum(each.degraded for each in seen),
        "rate_limited_count": counted("rate_limited"),
        "quota_count": counted("quota"),
    }


def _streams(runs: Sequence[Observation]) -> dict[str, Any]:
    first = [each.first_token_ms for each in runs if each.first_token_ms is not None]
    return {
        "streams": len(runs),
        "first_token_p50_ms": percentile(first, 0.5),
        "first_token_p95_ms": percentile(first, 0.95),
        "completion_p95_ms": percentile((each.ms for each in runs if each.outcome == "ok"), 0.95),
        "disconnect_count": sum(each.disconnected for each in runs),
    }


def _share(seen: Sequence[Observation], *outcomes: str) -> float:
    return round(sum(each.outcome in outcomes for each in seen) / len(seen), 4) if seen else 0.0
