"""What an operator brings along: a Postgres and its streaming replica, from the programs of the embedded one."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import attrs
from ragwork_embedded import binaries, server_user
from ragwork_embedded.binaries import Binaries
from ragwork_embedded.server_user import ServerUser
from ragwork_testkit.valkey import free_port

#: Of the administrator ``postgres``.
PASSWORD = "admins-password"
_PATIENCE_S = 30
_SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "wal_level=replica",
    "fsync=off",
    "io_method=sync",
)


@attrs.frozen(kw_only=True)
class Server:
    """A Postgres on ``port``, its data in ``data``."""

    data: Path
    who: ServerUser
    programs: Binaries
    port: int = attrs.field(factory=free_port)

    @property
    def url(self) -> str:
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    async def run(self, program: str, *arguments: str) -> None:
        """One of the programs that make data, to its end."""
        command = [self.programs.path(program), "-D", str(self.data), *arguments]
        done = await asyncio.to_thread(self.who.run, command)
        assert done.returncode == 0, done.stdout

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        options = [part for each in (*_SETTINGS, f"port={self.port}") for part in ("-c", each)]
        with self.data.with_suffix(".log").open("wb") as log:
            server = await asyncio.create_subprocess_exec(
                *[*self.who.prefix, self.programs.path("postgres"), "-D", str(self.data), *options],
                cwd="/",
                stdout=log,
                stderr=log,
                user=self.who.uid,
                group=self.who.gid,
            )
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._answer()
            yield
        finally:
            server.send_signal(signal.SIGINT)
            await asyncio.wait_for(server.wait(), _PATIENCE_S)

    async def _answer(self) -> None:
        while True:
            try:
                await (await asyncpg.connect(self.url)).close()
                return
            except (OSError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(0.05)


@asynccontextmanager
async def replicated(folder: Path) -> AsyncIterator[tuple[int, int]]:
    """The ports of a primary, with an empty database ``ragwork``, and of its replica."""
    who = server_user.choose(folder)
    server_user.admit(who, folder, folder / "nothing")
    programs, _ = binaries.usable(who, folder / "programs")
    primary, replica = (
        Server(data=_folder(folder / name, who), who=who, programs=programs)
        for name in ("primary", "replica")
    )
    secret = folder / "password"
    secret.write_text(PASSWORD)
    await primary.run(
        "initdb", "--username=postgres", f"--pwfile={secret}", "--auth=scram-sha-256", "--no-sync",
        "--encoding=UTF8", "--locale=C",
    )  # fmt: skip
    async with primary.running():
        connection = await asyncpg.connect(primary.url)
        await connection.execute("CREATE DATABASE ragwork")
        await connection.close()
        await replica.run(
            "pg_basebackup", f"--dbname={primary.url}", "--write-recovery-conf", "--checkpoint=fast"
        )
        async with replica.running():
            yield primary.port, replica.port


def _folder(path: Path, who: ServerUser) -> Path:
    """A private folder of whoever runs the server."""
    path.mkdir(mode=0o700)
    if who.uid is not None and who.gid is not None:
        os.chown(path, who.uid, who.gid)
    return path
