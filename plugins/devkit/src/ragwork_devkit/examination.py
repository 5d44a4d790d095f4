"""Has a plugin examined by the kit in an interpreter of its own, tells how it goes on, and judges the report."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ragwork_hooks.commands import Console
from ragwork_hooks.errors import ConfigError

TIERS: Final = ("bronze", "silver", "gold")
#: The kit interrupts a test after 30 s, and what is around it after 60; one that can't be interrupted is ended.
_HANGS_S: Final = 75.0
#: After so many seconds without news the console hears what is being waited for.
_NEWS_S: Final = 5.0
_LINE_BYTES: Final = 16 * 1024 * 1024


class Examination:
    """One run of ``ragwork_testkit.quality_tier`` over a plugin's folder."""

    def __init__(self, folder: Path, console: Console) -> None:
        self._folder = folder
        self._console = console
        self._findings: list[Mapping[str, Any]] = []
        self._waiting_for = "looking at the package"
        self._place = ""
        self._heard_at = time.monotonic()

    async def report(self) -> dict[str, Any]:
        """``tier`` and ``findings``. A plugin's tests may do anything to their interpreter, but not to this one."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "ragwork_testkit.quality_tier",
            str(self._folder),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
            start_new_session=True,
        )
        if process.stdout is None or process.stderr is None:
            raise RuntimeError("a process was started without its pipes")
        errors = asyncio.create_task(process.stderr.read())
        try:
            report = await self._follow(process.stdout)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        return report or self._broken_off((await errors).decode(errors="replace"))

    async def _follow(self, lines: asyncio.StreamReader) -> dict[str, Any] | None:
        """The report; ``None`` when the examination ended without one."""
        while True:
            try:
                line = await asyncio.wait_for(lines.readline(), _NEWS_S)
            except TimeoutError:
                silent_s = time.monotonic() - self._heard_at
                if silent_s > _HANGS_S:
                    return None
                self._console.say(f"  …  {self._waiting_for} ({silent_s:.0f} s)")
                continue
            if not line:
                return None
            self._heard_at = time.monotonic()
            event: dict[str, Any] = json.loads(line)
            if event.pop("event", None) == "report":
                return event
            self._hear(event)

    def _hear(self, event: Mapping[str, Any]) -> None:
        if "check" in event:
            self._findings.append(event)
        elif "what" in event:
            self._waiting_for = event["what"]
        elif "number" in event:
            self._waiting_for = event["test"]
            self._place = f"[{event['number']}/{event['total']}]"
        else:
            self._console.say(f"{self._place} {event['said']:<4} {event['test']} ({event['seconds']:.1f} s)")

    def _broken_off(self, errors: str) -> dict[str, Any]:
        """What is known of an examination that died or had to be ended."""
        if not self._findings:
            last = errors.strip().splitlines()[-1:] or ["no output"]
            raise ConfigError(
                str(self._folder), f"could not be examined: {last[0]}", "run pytest in it to see more"
            )
        hung = time.monotonic() - self._heard_at > _HANGS_S
        what = "hangs and can't be interrupted" if hung else "ended the interpreter"
        problem = f"{self._waiting_for} {what}: the tests after it did not run"
        finding = {"tier": "silver", "check": "own tests", "problems": [problem]}
        bronze = not any(found["problems"] for found in self._findings)
        return {
            "folder": str(self._folder),
            "tier": "bronze" if bronze else None,
            "findings": [*self._findings, finding],
        }


def judged(report: Mapping[str, Any], required: str | None) -> tuple[str, int]:
    """The last line for people, and the exit status: 0 when every finding up to the ``required`` tier is good."""
    up_to = TIERS[: TIERS.index(required) + 1] if required else TIERS
    failed = [f["check"] for f in report["findings"] if f["problems"] and f["tier"] in up_to]
    tier = report["tier"] or "none"
    if failed:
        wanted = f", {required} was required" if required else ""
        return f"FAIL: {', '.join(failed)} (tier: {tier}{wanted})", 1
    return f"OK: tier {tier}", 0


def shown(report: Mapping[str, Any]) -> str:
    """The findings, a line each, with their problems below."""
    lines = []
    for finding in report["findings"]:
        mark = "FAIL" if finding["problems"] else "ok  "
        lines.append(f"{mark}  {finding['tier']:<6}  {finding['check']}")
        lines += [f"        {problem}" for problem in finding["problems"]]
    return "\n".join(lines)
