"""``ragwork doctor`` and ``ragwork plugins``: what is wrong here, and what to do about it."""

import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any, Final

import asyncpg
import attrs
from ragwork_hooks.commands import Option
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.storage import DatabaseUrls
from ragwork_kernel.base import discovery
from ragwork_kernel.boot import plugin_set as assemblies
from ragwork_kernel.boot.plugin_set import PluginSet

from ragwork_cli import configuration_checks
from ragwork_cli.console import TerminalConsole
from ragwork_cli.findings import Finding, failed, lines

OFFLINE: Final = Option(name="offline", help="open no store and no provider that needs a network", flag=True)
_MIN_FREE_BYTES = 500_000_000
_MAX_SKEW_S = 5.0
_OLDEST_POSTGRES = 16


async def run(options: dict[str, Any], data_dir: Path, console: TerminalConsole) -> int:
    """Run every check that can still run after the ones before it; 1 when one failed."""
    findings = await examine(data_dir, offline=bool(options["offline"]))
    console.result([attrs.asdict(f) for f in findings], "\n".join(lines(findings)))
    return 1 if any(f.state == "fail" for f in findings) else 0


async def examine(data_dir: Path, *, offline: bool = False) -> list[Finding]:
    """All findings, in the order in which the platform needs things."""
    findings = [_python(), _disk(data_dir), _port(8000)]
    try:
        assembly = assemblies.survey()
        findings += await configuration_checks.settings(assembly)
    except ConfigError as error:
        return [*findings, failed("configuration", error)]
    more = (_version, _clock, _dispatcher)
    return findings + await configuration_checks.live(assembly, data_dir, offline=offline, more=more)


def plugin_rows(assembly: PluginSet) -> list[dict[str, str]]:
    """One row per installed plugin: name, version, state (enabled, disabled, broken), note."""
    found = discovery.installed(discovery.PLUGINS)
    enabled = {loaded.name: loaded for loaded in assembly.plugins}
    broken = {b.name: str(b.error) for b in assembly.broken}
    rows = []
    for name in sorted({*found, *broken}):
        version = found[name].version if name in found else "?"
        if name in broken:
            state, note = "broken", broken[name]
        elif name in enabled:
            named = [section for section in assembly.sections(name) if section != name]
            also = f"; also as {', '.join(named)}" if named else ""
            state, note = "enabled", enabled[name].info.summary + also
        else:
            state, note = "disabled", f"enable it with `ragwork plugins enable {name}`"
        rows.append({"name": name, "version": version, "state": state, "note": note})
    return rows


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding(check="python", state="ok", detail=version)


def _disk(data_dir: Path) -> Finding:
    existing = next(p for p in (data_dir, *data_dir.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    detail = f"{free // 1_000_000} MB free at {existing}"
    if free < _MIN_FREE_BYTES:
        fix = "free space or choose another --data-dir"
        return Finding(check="disk", state="fail", detail=detail, fix=fix)
    return Finding(check="disk", state="ok", detail=detail)


def _port(port: int) -> Finding:
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", port)) == 0
    if taken:
        return Finding(
            check="port",
            state="warn",
            detail=f"{port} is in use",
            fix="stop what uses it, or serve with --port",
        )
    return Finding(check="port", state="ok", detail=f"{port} is free")


async def _version(urls: DatabaseUrls) -> Finding:
    connection = await asyncpg.connect(urls.app)
    try:
        major = connection.get_server_version().major
        vector = await connection.fetchval("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
    finally:
        await connection.close()
    detail = f"Postgres {major}, vector extension {vector or 'missing'}"
    if major < _OLDEST_POSTGRES or vector is None:
        fix = f"use Postgres {_OLDEST_POSTGRES} or newer with the vector extension"
        return Finding(check="postgres", state="fail", detail=detail, fix=fix)
    return Finding(check="postgres", state="ok", detail=detail)


async def _clock(urls: DatabaseUrls) -> Finding:
    connection = await asyncpg.connect(urls.app)
    try:
        theirs = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
    finally:
        await connection.close()
    skew = abs(theirs - time.time())
    detail = f"{skew:.2f} s off the database's"
    if skew > _MAX_SKEW_S:
        return Finding(check="clock", state="warn", detail=detail, fix="synchronise this machine's clock")
    return Finding(check="clock", state="ok", detail=detail)


async def _dispatcher(urls: DatabaseUrls) -> Finding:
    if urls.dispatcher is None:
        return Finding(
            check="jobs",
            state="warn",
            detail="no dispatcher DSN: this machine can't work the queue",
            fix="set DATABASE_DISPATCHER_URL where `ragwork worker` runs",
        )
    return Finding(check="jobs", state="ok", detail="this machine can work the queue")
