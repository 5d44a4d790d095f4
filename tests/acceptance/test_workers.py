"""``ragwork serve --workers 2``: two processes that are one server, whatever becomes of either."""

import asyncio
import json
import os
import re
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest
from installed import Installed, Server
from ragwork_testkit.valkey import ValkeyServer

#: A key changes ten things and then waits for a hundred seconds; nothing else is limited.
LIMITS = {"RATE_LIMIT_ENABLED": "true", "RL_KEY_MUTATION_BURST": "10", "RL_KEY_MUTATION_RPS": "0.01"} | {
    f"RL_{who}_{what}": "100000"
    for who in ("KEY_RUN", "TENANT_RUN", "KEY_READ", "TENANT_READ", "TENANT_MUTATION", "ADDRESS_PUBLIC")
    for what in ("RPS", "BURST")
}
#: What the tests call, so that processes start soon.
PLUGINS = "directory,apikeys,rbac,ratelimit,wordllama,pgvector,documents,extractive,fake,agent"
SETTINGS = {
    "RAGWORK_PLUGINS": PLUGINS,
    "LLM_PROVIDER": "fake",
    "FAKE_TOKEN_DELAY_MS": "20",
    "RAGWORK_PROFILE": "test",
}
CORPORA = "/v1/corpora"
SOON_S = 20.0


@attrs.frozen(kw_only=True)
class Workers:
    """A server of two worker processes."""

    ragwork: Installed
    server: Server
    key: str

    @property
    def log(self) -> str:
        return (self.ragwork.cwd / "serve.log").read_text()

    def pids(self) -> set[int]:
        """Its worker processes, those that start or drain among them."""
        wanted = "ragwork_cli.supervised_worker\0"
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes().decode(errors="replace")
                except OSError:
                    continue
                if wanted in line and f"{self.ragwork.data_dir}\0" in line:
                    found.add(int(entry.name))
        return found

    def connections(self, pid: int) -> int:
        """How many clients a process has connections with."""
        port = f":{int(self.server.base.rpartition(':')[2]):04X}"
        rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
        ours = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(port) and row[3] == "01"}
        return sum(os.readlink(fd) in ours for fd in Path(f"/proc/{pid}/fd").iterdir())

    def counted(self, path: str = CORPORA) -> float:
        """Requests of ``path`` that were answered well, as a scrape on a new connection says."""
        text = self.server.call("GET", "/v1/metrics")[1]
        name = f'ragwork_http_requests_total{{method="GET",path="{path}",status="200"}}'
        [value] = re.findall(rf"^{re.escape(name)} ([0-9.]+)$", text, re.MULTILINE) or ["0"]
        return float(value)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[aiohttp.ClientSession]:
        """As many connections as there are requests at once."""
        headers = {"Authorization": f"Bearer {self.key}"}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(self.server.base, headers=headers, connector=connector) as client:
            yield client


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory, valkey: ValkeyServer) -> Iterator[Workers]:
    folder = tmp_path_factory.mktemp("workers")
    # A supervisor that is killed leaves its folder of metrics to whoever tidies the temporary ones.
    own = {"REDIS_URL": f"{valkey.url}?prefix=workers", "TMPDIR": str(folder)}
    settings = {**SETTINGS, **LIMITS, **own}
    ragwork = Installed(data_dir=folder / "d", cwd=folder, settings=settings)
    with ragwork.serving("--workers", "2") as server:
        assert ragwork.run("seed", "--tenant", "t1").returncode == 0
        yield Workers(ragwork=ragwork, server=server, key=ragwork.key()["key"])


async def until(what: Callable[[], Any], within_s: float = SOON_S) -> Any:
    """What ``what`` gives as soon as it is true."""
    give_up = time.monotonic() + within_s
    while not (value := await asyncio.to_thread(what)):
        assert time.monotonic() < give_up, "it did not come to pass"
        await asyncio.sleep(0.05)
    return value


def test_without_shared_state_it_refuses_to_split_limits(tmp_path: Path) -> None:
    ragwork = Installed(data_dir=tmp_path / "d", cwd=tmp_path)
    refused = ragwork.run("serve", "--workers", "2", "--port", "0")
    assert refused.returncode == 2
    assert refused.stderr == (
        "ragwork: REDIS_URL: is unset, and each of 2 worker processes would keep limits and logins for itself. "
        "Fix: set it to a Redis or Valkey that they share, or leave out --workers\n"
    )


# Slow: the first to need the server of this module, which has two processes.
async def test_both_serve_and_a_scrape_of_either_sums_what_both_counted(workers: Workers) -> None:
    before = await asyncio.to_thread(workers.counted)
    async with workers.client() as client:

        async def ask() -> int:
            async with client.get(CORPORA) as answer:
                await answer.read()
                return answer.status

        for _ in range(3):
            assert set(await asyncio.gather(*(ask() for _ in range(24)))) == {200}
        [one, other] = [workers.connections(pid) for pid in workers.pids()]
        assert one + other == 24
        assert min(one, other) >= 3
    seen = {await asyncio.to_thread(workers.counted) for _ in range(8)}
    assert seen == {before + 72}


async def test_a_keys_rate_limit_holds_over_both(workers: Workers) -> None:
    async with workers.client() as client:

        async def create(number: int) -> int:
            async with client.post(CORPORA, json={"id": f"c-{number}", "name": "n"}) as answer:
                await answer.read()
                return answer.status

        statuses = await asyncio.gather(*(create(number) for number in range(30)))
        assert min(workers.connections(pid) for pid in workers.pids()) >= 3
    assert sorted(statuses) == [201] * 10 + [429] * 20


def command_server(workers: Workers) -> int | None:
    """The process that answers at the command socket."""
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(workers.ragwork.data_dir / "serve.sock"))
        except OSError:
            return None
        return int.from_bytes(line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], "little")


@attrs.define
class Load:
    """Clients with connections that stay open, until the block is left; what they were told."""

    workers: Workers
    statuses: list[int] = attrs.field(factory=list)
    lists: int = 0
    ends: list[str] = attrs.field(factory=list)
    over: bool = False

    async def list_corpora(self) -> None:
        async with self.workers.client() as client:
            while not self.over:
                async with client.get(CORPORA) as answer:
                    await answer.read()
                    self.statuses.append(answer.status)
                    self.lists += 1
                await asyncio.sleep(0.05)

    async def stream(self, number: int) -> None:
        async with self.workers.client() as client:
            while not self.over:
                body = {"session_id": f"s-{number}", "corpus_id": "c1", "message": "What is a gate?"}
                async with client.post("/v1/run", json=body) as answer:
                    self.statuses.append(answer.status)
                    text = (await answer.read()).decode()
                self.ends.append(json.loads(text.rpartition("data: ")[2])["type"])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Each client has a connection of its own: one that a pool leaves idle is nobody's to wait for."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(2):
                tasks.create_task(self.list_corpora())
                tasks.create_task(self.stream(number))
            try:
                yield
            finally:
                self.over = True


# Slow: replaces two processes.
async def test_sighup_replaces_all_under_load_and_nothing_is_lost(workers: Workers) -> None:
    old, before = workers.pids(), await asyncio.to_thread(workers.counted)
    assert command_server(workers) in old
    load = Load(workers)
    async with load.running():
        await asyncio.sleep(0.3)
        workers.server.process.send_signal(signal.SIGHUP)
        await until(lambda: "rolling restart: done" in workers.log, 60)
        await asyncio.sleep(0.3)
    assert set(load.statuses) == {200}
    assert set(load.ends) == {"done"}
    assert len(load.ends) == len(load.statuses) - load.lists
    new = workers.pids()
    assert len(new) == 2
    assert not new & old
    assert await until(lambda: command_server(workers)) in new
    assert await asyncio.to_thread(workers.counted) == before + load.lists


async def test_a_successor_that_does_not_start_ends_the_restart(workers: Workers) -> None:
    old, wrong = workers.pids(), workers.ragwork.cwd / "ragwork.toml"
    wrong.write_text("[kernel]\nlog_level = 7\n")
    workers.server.process.send_signal(signal.SIGHUP)
    try:
        await until(lambda: "the old ones stay" in workers.log)
    finally:
        wrong.unlink()
    assert workers.pids() == old
    assert (await asyncio.to_thread(workers.server.call, "GET", CORPORA, workers.key))[0] == 200


# Slow: a process is replaced.
async def test_one_that_is_killed_is_replaced_while_the_other_answers(workers: Workers) -> None:
    old, before = workers.pids(), await asyncio.to_thread(workers.counted)
    victim = command_server(workers)
    assert victim in old
    os.kill(victim, signal.SIGKILL)
    await until(lambda: "ended: status 137" in workers.log)
    answered = 0
    while "serves" not in workers.log.rpartition("ended: status 137")[2]:
        assert (await asyncio.to_thread(workers.server.call, "GET", CORPORA, workers.key))[0] == 200
        answered += 1
    assert answered > 3
    now = workers.pids()
    assert len(now) == 2
    assert now & old == old - {victim}
    assert await until(lambda: command_server(workers)) in now
    assert await asyncio.to_thread(workers.counted) == before + answered


# Last: it ends the server of this module. Slow: worker processes drain.
async def test_without_its_supervisor_no_worker_process_stays(workers: Workers) -> None:
    workers.server.kill()
    await until(lambda: not workers.ragwork.left_running())
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", int(workers.server.base.rpartition(":")[2])))
