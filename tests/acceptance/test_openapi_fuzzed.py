"""Generated calls of every documented operation: whatever is sent, the answer is never the server's fault."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from ragwork_testkit.platform import ALL_PLUGINS, DOOR_SETTINGS, Running

EXAMPLES = 100 if os.environ.get("RAGWORK_PROVE") else 4
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
Start = Callable[..., AbstractAsyncContextManager[Running]]


def fuzz(base: str, key: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            SCHEMATHESIS, "run", f"{base}/v1/openapi.json", "--header", f"Authorization: Bearer {key}",
            "--checks", "not_a_server_error", "--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES),
            "--generation-deterministic", "--continue-on-failure", "--no-color",
            # One call at a time: two uploads of one tenant at once may be refused as busy, which is right, and the
            # generator's own threads stumble over each other.
            "--workers", "1",
            "--request-timeout", "30", "--suppress-health-check", "all",
        ],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=1200,
    )  # fmt: skip


def failures(report: str) -> str:
    """The calls that failed, which the report tells of between "FAILURES" and its lists of warnings."""
    told = report.partition(" FAILURES ")[2] or report
    return told.partition(" WARNINGS ")[0][:20_000]


# Slow: calls every operation of the assembly, some of them often.
@pytest.mark.timeout(1300)
async def test_no_generated_call_makes_the_server_fail(platform: Start, tmp_path: Path) -> None:
    async with platform(plugins=ALL_PLUGINS, settings=DOOR_SETTINGS) as app:
        await app.command("seed", tenant="t1")
        done = await asyncio.to_thread(fuzz, app.base, await app.key(platform=True), tmp_path)
        metrics = (await app.call("GET", "/v1/metrics")).text
        assert (await app.call("GET", "/v1/health")).data["status"] == "ok"
    assert done.returncode == 0, failures(done.stdout) + done.stderr[-2000:]
    answered = re.findall(r'http_requests_total\{[^}]*status="(\d+)"\} ([\d.]+)', metrics)
    assert sum(float(count) for status, count in answered if status.startswith("2")) > 20
    assert not [status for status, _ in answered if status in ("500", "502")]
