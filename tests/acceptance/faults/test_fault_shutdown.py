"""Told to stop, the server ends in time whatever hangs in it, and leaves no Postgres behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HANGING = """
import asyncio, contextlib, os, time
from ragwork_hooks.plugin import Contribution, PluginInfo, hookimpl

async def deaf():
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(600)

@contextlib.asynccontextmanager
async def lifespan():
    if os.environ["HANG"] == "boot":
        print("booting", flush=True)
        await deaf()
    yield
    await deaf()

async def warm():
    if os.environ["HANG"] == "loop":
        await asyncio.sleep(2)
        print("blocked", flush=True)
        time.sleep(600)
    await deaf()

class Hanging:
    @hookimpl
    def ragwork_info(self):
        return PluginInfo(name="hanging", summary="hangs")

    @hookimpl
    def ragwork_contribute(self, context):
        return Contribution(lifespan=lifespan, warm=warm)

plugin = Hanging()
"""
#: Beyond the drain; and what a busy machine adds to it.
GRACE_S, SLACK_S = 5.0, 5.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One data directory for all: its cluster is made once."""
    return tmp_path_factory.mktemp("hanging")


@contextmanager
def serving(folder: Path, home: Path, how: str) -> Iterator["subprocess.Popen[str]"]:
    environ = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "HANG": how,
        "RAGWORK_PLUGINS": "hanging",
        "DRAIN_TIMEOUT_SECONDS": "0",
    }
    command = [
        Path(sys.executable).with_name("ragwork"),
        "serve",
        "--port",
        "0",
        "--data-dir",
        home / "data",
    ]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=home, env=environ, stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), (home / "log").read_text()
        if how == "loop":
            while "blocked" not in process.stdout.readline():
                pass
        time.sleep(0.3)
        yield process
    finally:
        process.kill()
        process.wait()


def is_left(home: Path) -> bool:
    """Whether a process still names the data directory. A Postgres that was told to end may take a moment."""

    def named() -> bool:
        lines = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                lines.append(entry.read_bytes())
            except OSError:
                continue
        return any(str(home / "data").encode() in line for line in lines)

    end = time.monotonic() + 5
    while named() and time.monotonic() < end:
        time.sleep(0.1)
    return named()


# Slow: waits for the deadline of a shutdown.
@pytest.mark.parametrize("how", ["closing", "loop", "boot"])
def test_a_server_in_which_something_hangs_ends_in_time_and_its_postgres_with_it(
    install, home: Path, how: str
) -> None:
    folder = install("hanging", HANGING, {"ragwork.plugins": {"hanging": "hanging:plugin"}})
    with serving(folder, home, how) as process:
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        process.wait(GRACE_S + SLACK_S)
        assert time.monotonic() - began < GRACE_S + SLACK_S
        assert "ending at once: it did not stop in time" in (home / "log").read_text()
    assert not is_left(home)


def test_a_second_signal_ends_it_at_once(install, home: Path) -> None:
    folder = install("hanging", HANGING, {"ragwork.plugins": {"hanging": "hanging:plugin"}})
    with serving(folder, home, "loop") as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        assert time.monotonic() - began < GRACE_S
    assert not is_left(home)
