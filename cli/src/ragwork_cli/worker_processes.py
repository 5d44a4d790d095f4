"""The worker processes of one server, as their supervisor sees them: started, told, and ended."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import attrs
from ragwork_kernel.base.telemetry import forget_levels
from ragwork_kernel.boot.listening_socket import SharedAddress

#: What a start may take, the first one's migrations included.
START_LIMIT_S: Final = 300.0
#: What worker process and supervisor say to each other, a byte each.
READY: Final = b"r"
TAKE_COMMANDS: Final = b"c"
_PROGRAM: Final = "ragwork_cli.supervised_worker"


def arguments(number: int, channel: int, listener: int, metrics: Path, data_dir: Path) -> list[str]:
    """The command that starts a worker process; ``channel`` and ``listener`` are descriptors that it inherits."""
    # -P: what lies in the working directory is not imported, as with the installed command.
    start = [sys.executable, "-P", "-m", _PROGRAM]
    return [*start, *map(str, (number, channel, listener, metrics, data_dir))]


@attrs.define(eq=False)
class WorkerProcess:
    """One worker process. ``number`` is its own while it lives; ``place`` says whose successor it is."""

    number: int
    place: int
    process: asyncio.subprocess.Process
    channel: socket.socket
    ready: asyncio.Event = attrs.field(factory=asyncio.Event)
    ended: asyncio.Event = attrs.field(factory=asyncio.Event)

    @property
    def status(self) -> int:
        """What it ended with, as shells say it."""
        code = self.process.returncode or 0
        return 128 - code if code < 0 else code

    def tell(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def take_commands(self) -> None:
        with contextlib.suppress(OSError):
            self.channel.send(TAKE_COMMANDS)

    async def becomes_ready(self) -> bool:
        """Wait until it serves, or has ended; one that does neither is killed."""
        waits = [asyncio.create_task(event.wait()) for event in (self.ready, self.ended)]
        await asyncio.wait(waits, timeout=START_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        for task in waits:
            task.cancel()
        if not self.ready.is_set() and not self.ended.is_set():
            self.tell(signal.SIGKILL)
            await self.ended.wait()
        return self.ready.is_set() and not self.ended.is_set()


class WorkerProcesses:
    """Starts worker processes on ``address`` and knows which live, the one that takes commands among them.

    Each place has a socket of its own with SO_REUSEPORT, so that the system deals new connections out. On one
    socket that all accept from, the first to wake takes a burst whole: of 8 keep-alive connections that two
    processes were offered at once one got 7 or 8 (of 64: 2 to 35 on the smaller side), with a socket each the
    smaller side had 3 of 8 and 24 to 32 of 64. The supervisor keeps every socket open: what waits in its queue is the
    successor's.
    """

    def __init__(self, address: SharedAddress, data_dir: Path, count: int) -> None:
        self._address = address
        self._data_dir = data_dir
        self._sockets = [address.bound() for _ in range(count)]
        self._metrics = Path(tempfile.mkdtemp(prefix="ragwork-metrics-"))
        self._watching: set[asyncio.Task[None]] = set()
        self._takes_commands: WorkerProcess | None = None
        self.alive: set[WorkerProcess] = set()

    async def start(self, place: int) -> WorkerProcess:
        """A new process for ``place``, which is not ready yet."""
        number = min(set(range(len(self.alive) + 1)) - {worker.number for worker in self.alive})
        own, others = socket.socketpair()
        with others:
            listener = self._sockets[place].fileno()
            # A session of its own: Ctrl-C is the supervisor's to hear, which then tells all of them, once.
            process = await asyncio.create_subprocess_exec(
                *arguments(number, others.fileno(), listener, self._metrics, self._data_dir),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(others.fileno(), listener),
                start_new_session=True,
            )
        own.setblocking(False)
        worker = WorkerProcess(number, place, process, own)
        self.alive.add(worker)
        task = asyncio.create_task(self._watch(worker))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)
        return worker

    def renew_socket(self, place: int) -> None:
        """Whoever served it died: until somebody serves it again, the other sockets get its connections."""
        dead, self._sockets[place] = self._sockets[place], self._address.bound()
        dead.close()

    async def dismiss(self, worker: WorkerProcess) -> None:
        """Have it drain, and wait until it has left."""
        worker.tell(signal.SIGTERM)
        await worker.ended.wait()

    async def dismiss_all(self) -> int:
        """The same for all; the worst status of theirs."""
        leaving = list(self.alive)
        await asyncio.gather(*map(self.dismiss, leaving))
        return max((worker.status for worker in leaving), default=0)

    async def end_all_at_once(self) -> None:
        """They hear a second signal. Called from another loop than theirs, so it looks instead of waiting."""
        for worker in tuple(self.alive):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.process.pid, signal.SIGTERM)
        while self.alive:  # noqa: ASYNC110  # an event would be of their loop
            await asyncio.sleep(0.05)

    def close(self) -> None:
        for each in self._sockets:
            each.close()
        shutil.rmtree(self._metrics, ignore_errors=True)

    async def _watch(self, worker: WorkerProcess) -> None:
        said = b""
        with contextlib.suppress(OSError):
            said = await asyncio.get_running_loop().sock_recv(worker.channel, 1)
        if said == READY:
            worker.ready.set()
            self._pass_commands_on()
        await worker.process.wait()
        self.alive.discard(worker)
        forget_levels(self._metrics, worker.number)
        worker.ended.set()
        worker.channel.close()
        if self._takes_commands is worker:
            self._takes_commands = None
            self._pass_commands_on()

    def _pass_commands_on(self) -> None:
        """To the latest that is ready, when nobody takes commands."""
        ready = [worker for worker in self.alive if worker.ready.is_set()]
        if self._takes_commands is None and ready:
            self._takes_commands = max(ready, key=lambda worker: worker.process.pid)
            self._takes_commands.take_commands()
