"""``ragwork serve`` and ``ragwork worker``: the processes that stay. Imports the whole kernel."""

import asyncio
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ragwork_kernel.base.telemetry import configure_logging
from ragwork_kernel.boot import infrastructure
from ragwork_kernel.boot import plugin_set as assemblies
from ragwork_kernel.boot.boot import boot
from ragwork_kernel.boot.leaving import Leaving, suppress_told
from ragwork_kernel.boot.server import serve as run_server
from ragwork_kernel.boot.worker_process import run_worker, silence
from ragwork_kernel.work.worker import LEASE_S

from ragwork_cli import command_socket, start_messages
from ragwork_cli.console import TerminalConsole


async def serve(options: Mapping[str, Any], data_dir: Path, console: TerminalConsole) -> int:
    """``ragwork serve`` as one process, until it is told to leave."""
    host, port = options["host"], options["port"]
    assembly = assemblies.read()
    configure_logging(assembly.kernel.log_level)
    start_messages.warn(assembly)
    start_messages.warn_of_host(assembly, host)

    def ready(bound: int) -> None:
        start_messages.announce(console, host, bound, data_dir)

    leaving = Leaving(assembly.kernel.drain_timeout_s)
    with suppress_told(leaving):
        async with (
            boot(assembly, data_dir, leaving.at_worst) as platform,
            command_socket.accepting(platform, data_dir),
        ):
            await run_server(platform, host, port, ready, leaving)
    return 0


async def serve_supervised(
    shared: socket.socket, ready: Callable[[], None], turn: asyncio.Event, data_dir: Path
) -> int:
    """The same as one of several processes. ``shared`` is its socket; with ``turn`` it takes commands, too."""
    assembly = assemblies.read()
    configure_logging(assembly.kernel.log_level)
    host, port = shared.getsockname()[:2]
    leaving = Leaving(assembly.kernel.drain_timeout_s)
    with suppress_told(leaving):
        async with (
            boot(assembly, data_dir, leaving.at_worst) as platform,
            command_socket.accepting_in_turn(turn, platform, data_dir),
        ):
            await run_server(platform, host, port, lambda _: ready(), leaving, shared)
    return 0


async def work(options: Mapping[str, Any], data_dir: Path, console: TerminalConsole) -> int:
    """``ragwork worker``, until it is told to leave; with ``check``, 1 when none of this machine is alive."""
    assembly = assemblies.read()
    if options["check"]:
        return await _check_worker(assembly, data_dir, console)
    configure_logging(assembly.kernel.log_level)
    start_messages.warn(assembly)
    leaving = Leaving(assembly.kernel.drain_timeout_s)
    with suppress_told(leaving):
        async with boot(assembly, data_dir, leaving.at_worst) as platform:
            console.say(f"ragwork worker runs {len(platform.plan.jobs)} kinds of jobs")
            await run_worker(platform, leaving)
    return 0


async def _check_worker(assembly: assemblies.PluginSet, data_dir: Path, console: TerminalConsole) -> int:
    async with infrastructure.database(assembly.kernel, data_dir, patience_s=0) as urls:
        silent_s = await silence(urls.app)
    alive = silent_s is not None and silent_s <= LEASE_S
    seen = "no worker of this machine is known" if silent_s is None else f"seen {silent_s:.1f} s ago"
    console.result({"alive": alive, "silent_s": silent_s}, seen)
    return 0 if alive else 1
