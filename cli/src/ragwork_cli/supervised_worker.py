"""A worker process of ``ragwork serve --workers``: started by the supervisor, which ends it by going away."""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from ragwork_kernel.base.telemetry import share_metrics

from ragwork_cli import command_line
from ragwork_cli.worker_processes import READY, TAKE_COMMANDS


def main(argv: Sequence[str]) -> None:
    """Entry point, with what ``worker_processes.arguments`` wrote."""
    number, channel, listener = map(int, argv[:3])
    metrics, data_dir = map(Path, argv[3:])
    for inherited in (channel, listener):
        os.set_inheritable(inherited, False)
    share_metrics(metrics, number)
    command_line.leave_with(
        lambda: command_line.run_async(
            _serve(socket.socket(fileno=channel), socket.socket(fileno=listener), data_dir)
        )
    )


async def _serve(channel: socket.socket, listener: socket.socket, data_dir: Path) -> int:
    from ragwork_cli import serving  # after the metrics know where they are kept

    turn = asyncio.Event()
    hearing = threading.Thread(target=_hear, args=(channel, asyncio.get_running_loop(), turn), daemon=True)
    hearing.start()
    return await serving.serve_supervised(listener, lambda: channel.sendall(READY), turn, data_dir)


def _hear(channel: socket.socket, loop: asyncio.AbstractEventLoop, turn: asyncio.Event) -> None:
    """A thread, so that the end of the supervisor is heard while the loop is blocked, too: whatever ended it, its end
    of the channel is closed by the system, and this process drains.
    """
    try:
        while (said := channel.recv(1)) == TAKE_COMMANDS:
            loop.call_soon_threadsafe(turn.set)
    except OSError:
        said = b""
    if not said:
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1:])
