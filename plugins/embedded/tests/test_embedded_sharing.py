"""One server per data directory: first in starts it, last out stops it, however the users die."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias

import asyncpg
import pytest
from ragwork_embedded.cluster import halt, postmaster
from ragwork_embedded.data_directory import Home
from ragwork_embedded.locks import FileLock, is_free
from ragwork_embedded.server import EmbeddedServer
from ragwork_hooks.errors import ConfigError


class User(Protocol):
    """Another process with a share in the server."""

    process: "subprocess.Popen[str]"
    url: str

    def leave(self) -> None: ...


Spawn: TypeAlias = Callable[[Path], User]

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="looks at processes through /proc"
)


def pid_of(root: Path) -> int:
    found = postmaster(root / "postgres")
    assert found is not None
    return found.pid


async def kill_postgres(root: Path) -> None:
    """kill -9 the server and wait until its last process has followed."""
    os.kill(pid_of(root), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not is_free(root / "postgres.lock"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def do(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def ask(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_first_start_makes_a_durable_private_cluster_with_vector(tmp_path: Path) -> None:
    root = tmp_path / "new" / "data"
    server = EmbeddedServer(root)
    url = await server.start()
    try:
        assert await ask(url, "SELECT current_database() || current_user") == "ragworkpostgres"
        await do(url, "CREATE EXTENSION vector SCHEMA public")
        assert await ask(url, "SELECT '[1,2]'::vector <-> '[1,3]'") == 1.0
        for name in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"):
            assert await ask(url, f"SHOW {name}") == "on"
        assert await ask(url, "SELECT lower('ÄÖ')") == "äö"
        methods = "SELECT array_agg(DISTINCT auth_method) FROM pg_hba_file_rules"
        assert await ask(url, methods) == ["scram-sha-256"]
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(url.replace("postgres:", "postgres:x", 1))
    finally:
        await server.stop()
    readable = [path for path in root.rglob("*") if path.parent == root and path.stat().st_mode & 0o077]
    assert readable == []
    assert is_free(root / "postgres.lock")


async def test_the_unix_socket_works_until_its_path_is_too_long(root: Path) -> None:
    server = EmbeddedServer(root)
    assert server.socket_url is None
    await server.start()
    assert server.socket_url is not None
    assert await ask(server.socket_url, "SELECT inet_server_port() IS NULL") is True
    await server.stop()
    far = root.parent / ("long 'name' $(x) \"q\" " + "d" * 80)
    os.rename(root, far)
    distant = EmbeddedServer(far)
    assert await ask(await distant.start(), "SELECT 1") == 1
    assert distant.socket_url is None
    await distant.stop()
    os.rename(far, root)


async def test_users_share_one_server_and_the_last_one_stops_it(root: Path, spawn: Spawn) -> None:
    here, also_here = EmbeddedServer(root), EmbeddedServer(root)
    url = await here.start()
    assert await also_here.start() == url
    other = await asyncio.to_thread(spawn, root)
    assert other.url == url
    await here.stop()
    await here.stop()
    await also_here.stop()
    assert await ask(url, "SELECT 1") == 1
    other.leave()
    assert is_free(root / "postgres.lock")


async def test_processes_that_start_at_once_on_a_new_directory_get_one_server(tmp_path: Path) -> None:
    root = tmp_path / "data"
    servers = [EmbeddedServer(root) for _ in range(6)]
    urls = await asyncio.gather(*(server.start() for server in servers))
    assert len(set(urls)) == 1
    await asyncio.gather(*(server.stop() for server in servers))
    assert is_free(root / "postgres.lock")


async def test_a_killed_user_does_not_keep_the_count_wrong(root: Path, spawn: Spawn) -> None:
    killed = await asyncio.to_thread(spawn, root)
    server = EmbeddedServer(root)
    await server.start()
    killed.process.kill()
    killed.process.wait()
    await server.stop()
    assert is_free(root / "postgres.lock")


async def test_a_server_left_by_a_killed_user_is_adopted(root: Path, spawn: Spawn) -> None:
    killed = await asyncio.to_thread(spawn, root)
    killed.process.kill()
    killed.process.wait()
    left = pid_of(root)
    server = EmbeddedServer(root)
    assert await server.start() == killed.url
    assert pid_of(root) == left
    await server.stop()
    assert is_free(root / "postgres.lock")


async def test_what_was_committed_survives_a_kill_of_postgres_and_start_heals_it(root: Path) -> None:
    server = EmbeddedServer(root)
    url = await server.start()
    await do(url, "CREATE TABLE kept (n int); INSERT INTO kept SELECT generate_series(1, 1000)")
    idle = await asyncpg.connect(url)
    await kill_postgres(root)
    assert await ask(await server.start(), "SELECT count(*) FROM kept") == 1000
    idle.terminate()
    await server.stop()


async def test_a_stale_pid_file_with_a_reused_pid_is_recovered_and_its_process_spared(
    root: Path, bystander: "subprocess.Popen[bytes]"
) -> None:
    server = EmbeddedServer(root)
    await server.start()
    pid_file = root / "postgres" / "postmaster.pid"
    old, text = pid_of(root), pid_file.read_text()
    await kill_postgres(root)
    pid_file.write_text(text.replace(str(old), str(bystander.pid), 1))
    await server.stop()
    assert await ask(await server.start(), "SELECT 1") == 1
    assert pid_of(root) != bystander.pid
    await server.stop()
    assert bystander.poll() is None


async def test_a_process_that_got_the_pid_of_a_dead_server_is_never_signalled(
    root: Path, bystander: "subprocess.Popen[bytes]"
) -> None:
    held = FileLock(root / "postgres.lock")
    assert held.try_exclusive()
    lines = [str(bystander.pid), str(root), "0", "5432", ".", "127.0.0.1", "0 0", "ready"]
    (root / "postgres" / "postmaster.pid").write_text("\n".join(lines))
    with pytest.raises(ConfigError, match="does not stop"):
        halt(Home(root), patience_s=0.05)
    assert bystander.poll() is None
    held.close()


async def test_a_cluster_half_made_is_made_anew(tmp_path: Path) -> None:
    root = tmp_path / "data"
    (root / "postgres.new" / "base").mkdir(parents=True)
    (root / "postgres.new" / "PG_VERSION").write_text("18\n")
    root.chmod(0o700)
    server = EmbeddedServer(root)
    assert await ask(await server.start(), "SELECT 1") == 1
    await server.stop()
    assert not (root / "postgres.new").exists()


async def test_postgres_has_its_own_session_and_nothing_of_ours_but_its_lock(root: Path) -> None:
    ours = os.open(root / "postgres.users", os.O_RDONLY)
    os.set_inheritable(ours, True)
    server = EmbeddedServer(root)
    await server.start()
    pid = pid_of(root)
    assert os.getsid(pid) != os.getsid(0)
    assert os.getpgid(pid) != os.getpgid(0)
    held = {os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")}
    assert str(root / "postgres.lock") in held
    assert str(root / "postgres.users") not in held
    assert str(root / "postgres.gate") not in held
    os.close(ours)
    await server.stop()


async def test_a_cancelled_start_leaves_nothing_running(root: Path) -> None:
    server = EmbeddedServer(root)
    starting = asyncio.create_task(server.start())
    await asyncio.sleep(0.01)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert is_free(root / "postgres.lock")
    assert is_free(root / "postgres.users")


async def test_a_taken_port_is_replaced_and_kept(root: Path) -> None:
    server = EmbeddedServer(root)
    first = await server.start()
    await server.stop()
    assert await server.start() == first
    await server.stop()
    port = int(first.rsplit(":", 1)[1].split("/")[0])
    squatter = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", port)
    async with squatter:
        second = await server.start()
        assert second != first
        assert await ask(second, "SELECT 1") == 1
        await server.stop()
