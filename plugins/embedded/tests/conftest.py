"""Real servers only. One cluster is made per run; tests that need one get a copy of it."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs
import pytest
from ragwork_embedded.server import EmbeddedServer

#: A process that uses the server: prints its URL, leaves when its input ends.
USER = """
import asyncio, sys
from pathlib import Path
from ragwork_embedded.server import EmbeddedServer
async def main():
    server = EmbeddedServer(Path(sys.argv[1]))
    print(await server.start(), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()
asyncio.run(main())
"""


@attrs.frozen
class UserProcess:
    """Another process with a share in the server."""

    process: "subprocess.Popen[str]"
    url: str

    def leave(self) -> None:
        _, errors = self.process.communicate("", timeout=20)
        assert self.process.returncode == 0, errors


Spawn = Callable[..., UserProcess]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose cluster is made and stopped. Copy it, don't use it."""
    root = tmp_path_factory.mktemp("made") / "data"

    async def make() -> None:
        server = EmbeddedServer(root)
        await server.start()
        await server.stop()

    asyncio.run(make())
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Iterator[Path]:
    """A data directory of this test; after the test nothing may work in it."""
    place = tmp_path / "data"
    shutil.copytree(made, place)
    yield place
    assert working_in(place / "postgres") == []


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start user processes: ``spawn(root, python=…, prefix=…, env=…)``."""
    running: list[UserProcess] = []

    def start(
        root: Path,
        *,
        prefix: Sequence[str] = (),
        python: str = sys.executable,
        env: dict[str, str] | None = None,
    ) -> UserProcess:
        process = subprocess.Popen(
            [*prefix, python, "-c", USER, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            cwd="/",
        )
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            _, errors = process.communicate(timeout=20)
            raise AssertionError(errors)
        user = UserProcess(process, url)
        running.append(user)
        return user

    yield start
    for user in running:
        with user.process:
            user.process.kill()


@pytest.fixture
def bystander() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has nothing to do with Postgres."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def working_in(data: Path) -> list[int]:
    """Ids of the processes whose working directory is ``data``: those of its server."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "cwd") == str(data):
                found.append(int(entry.name))
        except OSError:
            continue
    return found
