"""Checks of a configuration, and of everything that it names: what ``config check`` and ``doctor`` have in common."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
from ragwork_hooks.errors import ConfigError, Problem
from ragwork_hooks.operations import Advisor, HealthCheck
from ragwork_hooks.storage import DatabaseUrls
from ragwork_kernel.boot import bindings, infrastructure
from ragwork_kernel.boot.health import PROBE_TIMEOUT_S
from ragwork_kernel.boot.plugin_set import PluginSet
from ragwork_kernel.data import migrations, roles

from ragwork_cli import proxies, settings_report, unknown_names
from ragwork_cli.findings import Finding, failed, of_all, remarked

if TYPE_CHECKING:
    from ragwork_cli.boot_dry_run import BootDryRun

_CURRENT: Final = "current"
Check = Callable[[DatabaseUrls], Awaitable[Finding]]


async def settings(assembly: PluginSet) -> list[Finding]:
    """Files, keys, values, key material, plugins and bindings. Nothing is opened."""
    sound = f"profile {assembly.kernel.profile}, read: {', '.join(settings_report.sources(assembly.layers))}"
    found = of_all("configuration", assembly.faults, sound)
    found += [remarked("configuration", strange) for strange in unknown_names.strange(assembly)]
    found += [failed(f"plugin {broken.name}", broken.error) for broken in assembly.broken]
    if not assembly.plugins and not assembly.broken:
        fix = "install ragwork, or set RAGWORK_PLUGINS"
        found.append(Finding(check="plugins", state="warn", detail="none is enabled", fix=fix))
    if assembly.kernel.production:
        found.append(proxies.unnamed(assembly.kernel.trusted_proxies))
    sound = "all set" if assembly.kernel.production else "what is unset is made once and shared"
    found += of_all("secrets", assembly.gaps(), sound)
    errors = await asyncio.to_thread(bindings.faults, assembly)
    bound = len(bindings.of_settings(assembly))
    found += of_all("bindings", errors, f"{bound} settings name providers that are there")
    return found + await asyncio.to_thread(_named_tables, assembly)


def _named_tables(assembly: PluginSet) -> list[Finding]:
    """Which providers each named table of settings gives. Imports them."""
    given: dict[str, list[str]] = {}
    reasons: dict[str, str] = {}
    for (kind, name), offer in sorted(bindings.offers(assembly).items()):
        if offer.section == offer.plugin:
            continue
        able = given.setdefault(offer.section, [])
        try:
            reason = bindings.unready(assembly, kind, name, offer)
        except ConfigError as error:
            reason = str(error)
        if reason is None:
            able.append(f"{kind} {name}")
        else:
            reasons[offer.section] = reason
    return [_named_table(section, able, reasons.get(section, "")) for section, able in given.items()]


def _named_table(section: str, able: list[str], reason: str) -> Finding:
    if able:
        return Finding(check=section, state="ok", detail=f"gives {', '.join(able)}")
    fix = "set it, or remove the table"
    return Finding(check=section, state="warn", detail=f"[{section}] gives no provider: {reason}", fix=fix)


async def live(
    assembly: PluginSet, data_dir: Path, *, offline: bool, more: tuple[Check, ...] = ()
) -> list[Finding]:
    """The stores and the providers. ``offline`` leaves out what may need a network. ``more`` is asked of the
    database when it answers.
    """
    found = [data_directory(data_dir)]
    if offline:
        where = "REDIS_URL, DATABASE_URL and the providers were not tried"
        found.append(Finding(check="network", state="ok", detail=f"left out: {where}"))
    else:
        found.append(await shared_state(assembly))
    if offline and assembly.kernel.database_url is not None:
        return found + await _plugins(assembly, data_dir, None, None, offline=True)
    return found + await _database(assembly, data_dir, more, offline=offline)


def data_directory(data_dir: Path) -> Finding:
    """Whether it can be written to, or made."""
    existing = next(p for p in (data_dir, *data_dir.parents) if p.exists())
    if not existing.is_dir():
        fix = "name a directory with --data-dir or RAGWORK_DATA_DIR"
        return Finding(check="data directory", state="fail", detail=f"{existing} is not a directory", fix=fix)
    if not os.access(existing, os.W_OK | os.X_OK):
        fix = f"chown it to the user who runs ragwork (id {os.geteuid()}), or choose another --data-dir"
        return Finding(check="data directory", state="fail", detail=f"{existing} is not writable", fix=fix)
    return Finding(check="data directory", state="ok", detail=str(data_dir))


async def shared_state(assembly: PluginSet) -> Finding:
    """Whether the store of ``REDIS_URL`` answers."""
    if assembly.kernel.redis_url is None:
        detail = "kept in the process: limits and circuits count for one server alone"
        return Finding(check="shared state", state="ok", detail=detail)
    where = assembly.configuration.place("kernel", "redis_url")
    try:
        async with infrastructure.shared_state(assembly.kernel) as (_, probes):
            for probe in probes:
                await probe.check()
    except ConfigError as error:
        return failed("shared state", assembly.configuration.placed(error, "kernel"))
    except Exception as error:
        fix = "start the store or correct REDIS_URL; until then limits are kept by each server alone"
        return Finding(check="shared state", state="fail", detail=f"{where}: {error}", fix=fix)
    return Finding(check="shared state", state="ok", detail="answers and takes writes")


async def _database(
    assembly: PluginSet, data_dir: Path, more: tuple[Check, ...], *, offline: bool
) -> list[Finding]:
    if assembly.kernel.production and assembly.kernel.database_url is None:
        return await _plugins(assembly, data_dir, None, None, offline=offline)  # told as a gap already
    embedded = assembly.kernel.database_url is None
    if embedded and not more and not await asyncio.to_thread(data_dir.exists):
        return await _plugins(assembly, data_dir, None, None, offline=offline)  # nothing is stored yet
    found: list[Finding] = []
    try:
        async with infrastructure.database(assembly.kernel, data_dir, patience_s=0) as urls:
            where = "embedded" if embedded else "DATABASE_URL answers"
            found.append(Finding(check="database", state="ok", detail=where))
            schema = await guarded(_schema(assembly), urls)
            found += [await guarded(role, urls), schema]
            found += [await guarded(check, urls) for check in more]
            found += await _plugins(assembly, data_dir, urls, schema, offline=offline)
    except ConfigError as error:
        found.append(failed("database", assembly.configuration.placed(error, "kernel")))
        found += await _plugins(assembly, data_dir, None, None, offline=offline)
    return found


async def guarded(check: Check, urls: DatabaseUrls) -> Finding:
    """One check of the database; what it raises is its finding."""
    try:
        return await check(urls)
    except ConfigError as error:
        return failed(error.where, error)
    except (asyncpg.PostgresError, OSError) as error:
        return Finding(check="database", state="fail", detail=str(error), fix="see the server's log")


async def role(urls: DatabaseUrls) -> Finding:
    """Whether row level security binds us."""
    await roles.check_app(urls.app)
    return Finding(check="row level security", state="ok", detail="binds the application's role")


def _schema(assembly: PluginSet) -> Check:
    async def check(urls: DatabaseUrls) -> Finding:
        connection = await asyncpg.connect(urls.app)
        try:
            waiting = await migrations.pending(connection, assembly.sources())
        finally:
            await connection.close()
        if not waiting:
            return Finding(check="schema", state="ok", detail=_CURRENT)
        detail = f"{len(waiting)} migrations wait"
        if urls.owner is not None and not assembly.kernel.production:
            return Finding(check="schema", state="ok", detail=f"{detail}, serve migrates by itself here")
        return Finding(check="schema", state="warn", detail=detail, fix="run `ragwork migrate`")

    return check


async def _plugins(
    assembly: PluginSet,
    data_dir: Path,
    urls: DatabaseUrls | None,
    schema: Finding | None,
    *,
    offline: bool,
) -> list[Finding]:
    """Every plugin's contribution, the bindings in the database, and the named providers, opened."""
    from ragwork_cli.boot_dry_run import dry_run  # a whole kernel: not every command checks

    async with dry_run(assembly, data_dir, urls) as run:
        found = [failed("plugins", error) for error in run.faults]
        told = {error.message for error in run.faults}
        found += [
            Finding(
                check=f"plugin {name}",
                state="warn",
                detail=f"is inactive: {reason}",
                fix=f"enable what it needs, or `ragwork plugins disable {name}`",
            )
            for name, reason in run.collected.inactive.items()
            if not any(message in reason for message in told)
        ]
        found += [
            Finding(check=f"plugin {name}", state="ok", detail=f"off; {how}")
            for name, how in run.collected.off.items()
        ]
        current = schema is not None and schema.detail == _CURRENT
        if current:
            found += await _stored(run)
        if not offline:
            found += await _opened(run, database=current)
            found += await asyncio.gather(*(_asked(probe) for probe in run.probes))
        if current and not offline:
            for advisor in run.advisors:
                found += await _advised(advisor)
    return found


async def _asked(probe: HealthCheck) -> Finding:
    """A service that a plugin depends on, asked as health asks it."""
    check = f"dependency {probe.component}"
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await probe.check()
    except Exception as error:
        reason = str(error) or f"no answer within {PROBE_TIMEOUT_S:g} s"
        fix = "start it, or correct the settings of its plugin: `ragwork config explain` shows them"
        return Finding(
            check=check, state="fail", detail=f"{probe.component} does not answer: {reason}", fix=fix
        )
    return Finding(check=check, state="ok", detail="answers")


async def _advised(advisor: Advisor) -> list[Finding]:
    """What works and could be better; nothing where all is well."""
    try:
        advice = await advisor.advise()
    except Exception as error:
        # Advice is no reason to fail, and a plugin's fault here is none of the configuration.
        return [
            Finding(check=advisor.name, state="warn", detail=f"not looked at: {error}", fix="see its plugin")
        ]
    return [
        Finding(check=advisor.name, state="warn", detail=f"{each.where}: {each.message}", fix=each.fix)
        for each in advice
    ]


async def _stored(run: "BootDryRun") -> list[Finding]:
    try:
        return of_all("stored bindings", await run.stored(), "name providers that are there")
    except (Problem, asyncpg.PostgresError, OSError) as error:
        return [Finding(check="stored bindings", state="fail", detail=str(error), fix="see the server's log")]


async def _opened(run: "BootDryRun", *, database: bool) -> list[Finding]:
    # What lacks a setting is told among the bindings.
    told = {error.where for error in bindings.faults(run.assembly)}
    named = [each for each in await run.named(database=database) if each.where not in told]
    sound = f"{', '.join(sorted({each.name for each in named})) or 'none is named'}: open"
    return of_all("providers", await run.opened(named), sound)
