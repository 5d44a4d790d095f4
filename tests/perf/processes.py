"""Servers as processes of their own, so that a measurement sees what an operator runs."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

HERE = Path(__file__).parent
RAGWORK = str(Path(sys.executable).parent / "ragwork")


@attrs.frozen(kw_only=True)
class Server:
    """A running server. ``ready_s`` is from exec to the first 200 of /v1/health."""

    base: str
    pid: int
    ready_s: float
    data: Path
    env: Mapping[str, str]

    def command(self, *words: str) -> str:
        """Standard output of a ``ragwork`` command on the same data."""
        done = subprocess.run(
            [RAGWORK, *words, "--data-dir", str(self.data)],
            env=self.env,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def key(self, tenant: str, role: str = "admin", user: str = "bench") -> str:
        made = self.command(
            "keys", "create", "--tenant", tenant, "--role", role, "--name", "bench", "--user", user, "--json"
        )
        return str(json.loads(made)["key"])

    def cpu_s(self) -> float:
        """Seconds of processor time that the server has taken."""
        return _cpu_s(self.pid)

    def postgres_cpu_s(self) -> float:
        """The same of its database with all its connections."""
        (lock,) = self.data.rglob("postmaster.pid")
        postmaster = int(lock.read_text().split()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return sum(_cpu_s(int(pid)) for pid in [postmaster, *children])

    def rss_mb(self) -> float:
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0]) / 1024


#: The limiter draws as always, and the load never reaches a limit.
UNLIMITED = {
    f"RL_{whose}_{kind}_{what}": "1000000"
    for whose in ("KEY", "TENANT")
    for kind in ("RUN", "MUTATION", "READ", "OPS")
    for what in ("RPS", "BURST")
} | {"RL_ADDRESS_PUBLIC_RPS": "1000000", "RL_ADDRESS_PUBLIC_BURST": "1000000"}


@contextlib.contextmanager
def ragwork(data: Path, **settings: str) -> Iterator[Server]:
    """``ragwork serve`` on ``data`` with ``settings`` in its environment."""
    port = free_port()
    env = {**os.environ, "LOG_LEVEL": "WARNING", **UNLIMITED, **settings}
    started = time.perf_counter()
    process = subprocess.Popen(
        [RAGWORK, "serve", "--port", str(port), "--data-dir", str(data)], env=env, stdout=subprocess.DEVNULL
    )
    try:
        base = f"http://127.0.0.1:{port}"
        ready_s = _wait(f"{base}/v1/health", started)
        yield Server(base=base, pid=process.pid, ready_s=ready_s, data=data, env=env)
    finally:
        process.terminate()
        process.wait(60)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def reference(*database: str) -> Iterator[str]:
    """The bare server's base URL; ``database`` is a DSN and a tenant."""
    port = free_port()
    process = subprocess.Popen([sys.executable, str(HERE / "reference.py"), str(port), *database])
    try:
        _wait(f"http://127.0.0.1:{port}/v1/corpora", time.perf_counter())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str, started: float) -> float:
    while time.perf_counter() - started < 60:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:
            if answer.status == 200:
                return time.perf_counter() - started
        time.sleep(0.02)
    raise TimeoutError(url)
