"""What a process that stays says when it starts: what looks wrong, and where it serves."""

import logging
from pathlib import Path

from ragwork_kernel.boot.plugin_set import PluginSet

from ragwork_cli import proxies
from ragwork_cli.console import TerminalConsole
from ragwork_cli.unknown_names import strange

log = logging.getLogger(__name__)


def warn(assembly: PluginSet) -> None:
    """Once, when a process starts to serve or to work: other commands have other things to say."""
    for remark in strange(assembly):
        log.warning("%s", remark)
    if assembly.kernel.production and assembly.kernel.plugin_lock is None:
        log.warning("RAGWORK_PLUGIN_LOCK is unset: plugins run unverified; see `ragwork plugins lock`")


def warn_of_host(assembly: PluginSet, host: str) -> None:
    """When ``host`` can be reached from elsewhere and nobody said through what."""
    if not proxies.is_loopback(host) and not assembly.kernel.trusted_proxies:
        unnamed = proxies.unnamed(())
        log.warning("--host %s: %s. Fix: %s", host, unnamed.detail, unnamed.fix)


def announce(console: TerminalConsole, host: str, port: int, data_dir: Path) -> None:
    """Where clients reach the server, once it is ready."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104  # compared, not bound
    base = f"http://{shown}:{port}"
    console.result(
        {"url": base, "docs": f"{base}/v1/docs", "data_dir": str(data_dir)},
        f"ragwork serves {base}\n  docs  {base}/v1/docs\n  data  {data_dir}\n"
        "  stop with Ctrl-C; a key for clients: `ragwork keys create --help`",
    )
