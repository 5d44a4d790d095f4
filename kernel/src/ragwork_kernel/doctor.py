"""``ragwork doctor`` and ``ragwork plugins``: what is wrong here, and what to do about it."""

import shutil
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import attrs
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.storage import DatabaseUrls

from ragwork_kernel import assembly as assemblies
from ragwork_kernel import discovery, migrations, phase0, roles
from ragwork_kernel.assembly import Assembly
from ragwork_kernel.console import TerminalConsole

_MIN_FREE_BYTES = 500_000_000
_MAX_SKEW_S = 5.0
_OLDEST_POSTGRES = 16


@attrs.frozen(kw_only=True)
class Finding:
    """One check. ``state`` is ok, warn or fail; ``fix`` says what to do when it is not ok."""

    check: str
    state: str
    detail: str
    fix: str = ""


async def run(_options: dict[str, Any], data_dir: Path, console: TerminalConsole) -> int:
    """Run every check that can still run after the ones before it; 1 when one failed."""
    findings = await examine(data_dir)
    marks = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}
    lines = []
    for finding in findings:
        lines.append(f"{marks[finding.state]}  {finding.check}: {finding.detail}")
        if finding.fix:
            lines.append(f"      fix: {finding.fix}")
    console.result([attrs.asdict(f) for f in findings], "\n".join(lines))
    return 1 if any(f.state == "fail" for f in findings) else 0


async def examine(data_dir: Path) -> list[Finding]:
    """All findings, in the order in which the platform needs things."""
    findings = [_python(), _disk(data_dir), _port(8000)]
    try:
        assembly = assemblies.read()
        assembly.configuration.explain()
    except ConfigError as error:
        return [*findings, _failed("configuration", error)]
    findings.append(Finding(check="configuration", state="ok", detail=f"profile {assembly.kernel.profile}"))
    findings += [_failed(f"plugin {b.name}", b.error) for b in assembly.broken]
    if not assembly.plugins:
        findings.append(
            Finding(
                check="plugins",
                state="warn",
                detail="none is enabled",
                fix="install ragwork, or set RAGWORK_PLUGINS",
            )
        )
    findings.append(_secrets(assembly))
    findings.append(await _shared_state(assembly))
    findings += await _database(assembly, data_dir)
    return findings


def plugin_rows(assembly: Assembly) -> list[dict[str, str]]:
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
            state, note = "enabled", enabled[name].info.summary
        else:
            state, note = "disabled", f"enable it by adding {name!r} to plugins in [kernel] of ragwork.toml"
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


async def _shared_state(assembly: Assembly) -> Finding:
    if assembly.kernel.redis_url is None:
        detail = "kept in the process: limits and circuits count for one server alone"
        return Finding(check="shared state", state="ok", detail=detail)
    try:
        async with phase0.shared_state(assembly.kernel) as (_, probes):
            for probe in probes:
                await probe.check()
    except ConfigError as error:
        return _failed("shared state", error)
    except Exception as error:
        fix = "start the store or correct REDIS_URL; until then limits are kept by each server alone"
        return Finding(check="shared state", state="fail", detail=str(error), fix=fix)
    return Finding(check="shared state", state="ok", detail="answers and takes writes")


def _secrets(assembly: Assembly) -> Finding:
    if not assembly.kernel.production:
        return Finding(check="secrets", state="ok", detail="what is unset is made once and shared")
    declared = {name for loaded in assembly.plugins for name in loaded.info.secrets}
    demanded = {
        env
        for loaded in assembly.plugins
        if loaded.info.config is not None
        for env in assembly.configuration.missing_in_production(loaded.name)
    }
    missing = sorted({name for name in declared if assembly.layers.lookup("", "", name) is None} | demanded)
    if missing:
        fix = f"set each, best as a file such as /run/secrets/{missing[0].lower()}"
        return Finding(check="secrets", state="fail", detail=f"unset: {', '.join(missing)}", fix=fix)
    return Finding(check="secrets", state="ok", detail="all set")


async def _database(assembly: Assembly, data_dir: Path) -> list[Finding]:
    if assembly.kernel.production and assembly.kernel.database_url is None:
        fix = "set DATABASE_URL: the embedded server is not for production"
        return [Finding(check="database", state="fail", detail="DATABASE_URL is unset", fix=fix)]
    findings: list[Finding] = []
    try:
        async with phase0.database(assembly.kernel, data_dir, patience_s=0) as urls:
            findings.append(Finding(check="database", state="ok", detail=_place(assembly)))
            checks = (_version, _clock, _role, _schema(assembly), _dispatcher)
            findings += [await _guarded(check, urls) for check in checks]
    except ConfigError as error:
        findings.append(_failed("database", error))
    return findings


def _place(assembly: Assembly) -> str:
    return "embedded" if assembly.kernel.database_url is None else "DATABASE_URL answers"


async def _guarded(check: Callable[[DatabaseUrls], Awaitable[Finding]], urls: DatabaseUrls) -> Finding:
    try:
        return await check(urls)
    except ConfigError as error:
        return _failed(error.where, error)
    except (asyncpg.PostgresError, OSError) as error:
        return Finding(check="database", state="fail", detail=str(error), fix="see the server's log")


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


async def _role(urls: DatabaseUrls) -> Finding:
    await roles.check_app(urls.app)
    return Finding(check="row level security", state="ok", detail="binds the application's role")


def _schema(assembly: Assembly) -> Callable[[DatabaseUrls], Awaitable[Finding]]:
    async def check(urls: DatabaseUrls) -> Finding:
        connection = await asyncpg.connect(urls.app)
        try:
            waiting = await migrations.pending(connection, assembly.sources())
        finally:
            await connection.close()
        if not waiting:
            return Finding(check="schema", state="ok", detail="current")
        own = urls.owner is not None and not assembly.kernel.production
        fix = "none needed: serve migrates by itself here" if own else "run `ragwork migrate`"
        return Finding(check="schema", state="warn", detail=f"{len(waiting)} migrations wait", fix=fix)

    return check


async def _dispatcher(urls: DatabaseUrls) -> Finding:
    if urls.dispatcher is None:
        return Finding(
            check="jobs",
            state="warn",
            detail="no dispatcher DSN: this machine can't work the queue",
            fix="set DATABASE_DISPATCHER_URL where `ragwork worker` runs",
        )
    return Finding(check="jobs", state="ok", detail="this machine can work the queue")


def _failed(check: str, error: ConfigError) -> Finding:
    return Finding(check=check, state="fail", detail=f"{error.where}: {error.message}", fix=error.fix)
