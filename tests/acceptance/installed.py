"""The installed ``ragwork`` as its operators use it: a subprocess, from another directory, with an empty HOME."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import attrs

RAGWORK = Path(sys.executable).with_name("ragwork")
START_S = 60.0
#: Put before a command: another user, who may read all files, since the interpreter can stand in root's
#: home, and may do nothing else.
NOBODY = (
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
    "--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search",
)  # fmt: skip


@attrs.frozen(kw_only=True)
class Installed:
    """A data directory, and the commands that work on it. ``become`` is put before each command."""

    data_dir: Path
    cwd: Path
    settings: Mapping[str, str] = attrs.field(factory=dict)
    become: tuple[str, ...] = ()

    def run(self, *argv: str, timeout_s: float = 120, **more: str) -> "subprocess.CompletedProcess[str]":
        """One command to its end; ``more`` is added to its environment."""
        return subprocess.run(
            [*self.become, RAGWORK, *argv, "--data-dir", self.data_dir],
            cwd=self.cwd,
            env=self.environ(more),
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def json(self, *argv: str, **more: str) -> Any:
        """The JSON that a command prints."""
        done = self.run(*argv, "--json", **more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def key(self, tenant: str = "t1", role: str = "admin", **options: str) -> dict[str, str]:
        """A new key: its id and its text."""
        extra = [part for name, value in options.items() for part in (f"--{name}", value)]
        made: dict[str, str] = self.json(
            "keys", "create", "--tenant", tenant, "--role", role, "--name", "n", *extra
        )
        return made

    def environ(self, more: Mapping[str, str]) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": "",
            "EMBEDDING_PROVIDER": "wordllama",
            # Tests hurry more than clients may; those of the limits switch them on.
            "RATE_LIMIT_ENABLED": "false",
            "PLAN_DEFAULT": "enterprise",
            **self.settings,
            **more,
        }

    @contextlib.contextmanager
    def serving(self, *options: str, **more: str) -> Iterator["Server"]:
        """``ragwork serve`` with ``options`` on a free port until the block is left; killed if it does not end."""
        errors = (self.cwd / "serve.log").open("a")
        process = subprocess.Popen(
            [*self.become, RAGWORK, "serve", *options, "--port", "0", "--json", "--data-dir", self.data_dir],
            cwd=self.cwd,
            env=self.environ(more),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            yield Server(process=process, base=_announced(process, self.cwd / "serve.log"))
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(40)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            errors.close()

    def left_running(self) -> list[str]:
        """Command lines of processes that name the data directory."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if str(self.data_dir) in line:
                        found.append(line)
        return found


@attrs.frozen(kw_only=True)
class Server:
    """A running ``ragwork serve``."""

    process: "subprocess.Popen[str]"
    base: str

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(40)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def call(self, method: str, path: str, key: str | None = None, body: object = None) -> tuple[int, Any]:
        """Status and decoded body of one JSON request."""
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as refused:
            return refused.code, _decoded(refused.read())

    async def events(
        self, key: str, message: str, corpus: str = "c1", session: str = "s1"
    ) -> AsyncIterator[Any]:
        """Payloads of one run's events as they arrive."""
        body = {"session_id": session, "corpus_id": corpus, "message": message}
        headers = {"Authorization": f"Bearer {key}"}
        async with aiohttp.ClientSession() as client:
            async with client.post(self.base + "/v1/run", json=body, headers=headers) as response:
                assert response.status == 200, await response.text()
                async for line in response.content:
                    if line.startswith(b"data: "):
                        yield json.loads(line[6:])

    def ask(self, key: str, message: str, corpus: str = "c1", session: str = "s1") -> list[Any]:
        """All payloads of one run."""

        async def collect() -> list[Any]:
            return [event async for event in self.events(key, message, corpus, session)]

        return asyncio.run(collect())


def _announced(process: "subprocess.Popen[str]", log: Path) -> str:
    """The URL that ``serve --json`` prints once it is ready."""
    assert process.stdout is not None
    printed, until = "", time.monotonic() + START_S
    while time.monotonic() < until:
        line = process.stdout.readline()
        printed += line
        if line.startswith("}"):
            return str(json.loads(printed)["url"])
        if not line:
            break
    raise AssertionError(f"serve did not start: {printed}{log.read_text()[-2000:]}")


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace")
