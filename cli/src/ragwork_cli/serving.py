"""``ragwork serve`` and ``ragwork worker``: the processes that stay. Imports the whole kernel."""

import logging
from collections.abc import Mapping
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

from ragwork_cli import command_socket, proxies
from ragwork_cli.console import TerminalConsole
from ragwork_cli.unknown_names import strange

log = logging.getLogger(__name__)


async def serve(options: Mapping[str, Any], data_dir: Path, console: TerminalConsole) -> int:
    """``ragwork serve``, until it is told to leave."""
    host, port = options["host"], options["port"]
    assembly = assemblies.read()
    configure_logging(assembly.kernel.log_level)
    _warn(assembly)

    def ready(bound: int) -> None:
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104  # compared, not bound
        base = f"http://{shown}:{bound}"
        console.result(
            {"url": base, "docs": f"{base}/v1/docs", "data_dir": str(data_dir)},
            f"ragwork serves {base}\n  docs  {base}/v1/docs\n  data  {data_dir}\n"
            "  stop with Ctrl-C; a key for clients: `ragwork keys create --help`",
        )

    if not proxies.is_loopback(host) and not assembly.kernel.trusted_proxies:
        unnamed = proxies.unnamed(())
        log.warning("--host %s: %s. Fix: %s", host, unnamed.detail, unnamed.fix)
    leaving = Leaving(assembly.kernel.drain_timeout_s)
    with suppress_told(leaving):
        async with (
            boot(assembly, data_dir, leaving.at_worst) as platform,
            command_socket.accepting(platform, data_dir),
        ):
            await run_server(platform, host, port, ready, leaving)
    return 0


async def work(options: Mapping[str, Any], data_dir: Path, console: TerminalConsole) -> int:
    """``ragwork worker``, until it is told to leave; with ``check``, 1 when none of this machine is alive."""
    assembly = assemblies.read()
    if options["check"]:
        return await _check_worker(assembly, data_dir, console)
    configure_logging(assembly.kernel.log_level)
    _warn(assembly)
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


def _warn(assembly: assemblies.PluginSet) -> None:
    """Once, when a process starts to serve or to work: other commands have other things to say."""
    for remark in strange(assembly):
        log.warning("%s", remark)
    if assembly.kernel.production and assembly.kernel.plugin_lock is None:
        log.warning("RAGWORK_PLUGIN_LOCK is unset: plugins run unverified; see `ragwork plugins lock`")
