"""The operator's commands. Those that inspect work on a broken set of plugins too."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
from ragwork_hooks.commands import Option
from ragwork_hooks.errors import ConfigError
from ragwork_kernel.base import discovery
from ragwork_kernel.base.layers import nearest
from ragwork_kernel.boot import infrastructure
from ragwork_kernel.boot import plugin_set as assemblies
from ragwork_kernel.boot.plugin_lock import PluginLock
from ragwork_kernel.data import migrations

from ragwork_cli import (
    capacity,
    configuration_checks,
    data_commands,
    doctor,
    job_commands,
    lock_file,
    plugin_switch,
    settings_report,
)
from ragwork_cli.console import TerminalConsole

Options = dict[str, Any]


@attrs.frozen(kw_only=True)
class OperatorCommand:
    """A command that no plugin brings. ``run`` gets options, data directory and console; gives the exit status.

    ``audit_event`` is what it records when it changes something of a tenant, or shows what a tenant keeps.
    """

    path: tuple[str, ...]
    help: str
    run: Callable[[Options, Path, TerminalConsole], Awaitable[int]]
    options: tuple[Option, ...] = ()
    audit_event: str | None = None


async def _serve(options: Options, data_dir: Path, console: TerminalConsole) -> int:
    if options["workers"] > 1:
        from ragwork_cli import supervisor

        return await supervisor.serve(options, data_dir, console)
    from ragwork_cli import serving  # a whole kernel and its HTTP server: other commands don't wait for them

    return await serving.serve(options, data_dir, console)


async def _worker(options: Options, data_dir: Path, console: TerminalConsole) -> int:
    from ragwork_cli import serving

    return await serving.work(options, data_dir, console)


async def _migrate(options: Options, data_dir: Path, console: TerminalConsole) -> int:
    assembly = assemblies.read()
    dry_run = bool(options["dry_run"])
    async with infrastructure.database(assembly.kernel, data_dir) as urls:
        ran = await migrations.migrate(urls.owner or urls.app, assembly.sources(), dry_run)
    rows = [{"plugin": m.plugin, "name": m.name, "kind": m.kind} for m in ran]
    verb = "would apply" if dry_run else "applied"
    lines = [f"{verb} {r['plugin']} {r['name']} ({r['kind']})" for r in rows]
    console.result(rows, "\n".join(lines) or "nothing to do: the schema is current")
    return 0


async def _plugins(_options: Options, _data_dir: Path, console: TerminalConsole) -> int:
    rows = doctor.plugin_rows(assemblies.survey())
    console.table(rows, ("name", "version", "state", "note"), "no plugin is installed")
    return 1 if any(r["state"] == "broken" for r in rows) else 0


async def _plugins_lock(_options: Options, _data_dir: Path, console: TerminalConsole) -> int:
    path, names = lock_file.to_lock()
    lock = lock_file.of_installed(path, names)
    lock_file.write(lock)
    rows = {name: attrs.asdict(entry) for name, entry in lock.entries.items()}
    console.result({"path": str(path), "plugins": rows}, f"locked {len(rows)} plugins in {path}")
    return 0


async def _plugins_verify(_options: Options, _data_dir: Path, console: TerminalConsole) -> int:
    path, names = lock_file.to_lock()
    lock, found = PluginLock.read(path), discovery.installed(discovery.PLUGINS)
    wrong: dict[str, str] = {}
    for name in sorted(set(names)):
        try:
            lock.require(name, found)
        except ConfigError as error:
            wrong[name] = str(error)
    text = "\n".join(wrong.values()) or f"{len(set(names))} plugins are as {path} says"
    console.result({"path": str(path), "wrong": wrong}, text)
    return 1 if wrong else 0


async def _config_check(options: Options, data_dir: Path, console: TerminalConsole) -> int:
    assembly = assemblies.survey()
    findings = await configuration_checks.settings(assembly)
    findings += await configuration_checks.live(assembly, data_dir, offline=bool(options["offline"]))
    wrong = [finding for finding in findings if finding.state != "ok"]
    bad = any(finding.state == "fail" for finding in wrong)
    sources = list(settings_report.sources(assembly.layers))
    rows = [] if assembly.faults else settings_report.explain(assembly.configuration)
    text = f"read: {', '.join(sources)}" + ("" if bad else f"\n{len(rows)} settings are valid")
    if not console.json:
        for finding in wrong:
            sys.stderr.write(f"ragwork: {finding.line}\n")
    result = {"settings": len(rows), "read": sources, "findings": [attrs.asdict(f) for f in wrong]}
    console.result(result, text)
    return 2 if bad else 0


async def _config_explain(options: Options, _data_dir: Path, console: TerminalConsole) -> int:
    wanted = options["key"]
    rows = settings_report.explain(assemblies.read().configuration)
    if wanted:
        names = {row.env for row in rows} | {row.field for row in rows}
        rows = [row for row in rows if wanted in (row.env, row.field, f"{row.section}.{row.field}")]
        if not rows:
            console.say(f"no setting is called {wanted!r}; {nearest(wanted, sorted(names))}")
            return 1
    lines = [f"{r.env} = {r.value}   ({r.layer}; [{r.section}] {r.field}: {r.help})" for r in rows]
    console.result(rows, "\n".join(lines))
    return 0


async def _dsn(options: Options, data_dir: Path, console: TerminalConsole) -> int:
    async with infrastructure.database(assemblies.read().kernel, data_dir, over_tcp=True) as urls:
        dsn = urls.owner if options["owner"] else urls.app
    if dsn is None:
        console.say("the owner's DSN is not known here; set DATABASE_OWNER_URL")
        return 1
    console.result({"dsn": dsn}, dsn)
    return 0


COMMANDS = (
    OperatorCommand(
        path=("serve",),
        help="Serve the API; outside production also work the job queue.",
        run=_serve,
        options=(
            Option(name="host", help="address to listen on", default="127.0.0.1"),
            Option(
                name="port",
                help="port to listen on; 0 picks one",
                default="8000",
                type="integer",
                maximum=65535,
            ),
            Option(
                name="workers",
                help="processes that serve, which need REDIS_URL when there are several; SIGHUP replaces them "
                "one after the other",
                default="1",
                type="integer",
                minimum=1,
                maximum=64,
            ),
        ),
    ),
    OperatorCommand(
        path=("worker",),
        help="Work the job queue.",
        run=_worker,
        options=(Option(name="check", help="only say whether a worker of this machine is alive", flag=True),),
    ),
    OperatorCommand(
        path=("migrate",),
        help="Bring the database schema up to this release.",
        run=_migrate,
        options=(Option(name="dry-run", help="only say what would run", flag=True),),
    ),
    OperatorCommand(
        path=("capacity", "estimate"),
        help="Estimate what servers bear, from a measured load.",
        run=capacity.estimate,
        options=capacity.OPTIONS,
    ),
    OperatorCommand(
        path=("doctor",),
        help="Check everything that can go wrong, with the fix of each.",
        run=doctor.run,
        options=(doctor.OFFLINE,),
    ),
    OperatorCommand(path=("plugins",), help="What is installed, enabled, broken.", run=_plugins),
    OperatorCommand(
        path=("plugins", "enable"),
        help="Enable a plugin in ragwork.toml.",
        run=plugin_switch.enable,
        options=(plugin_switch.NAME,),
    ),
    OperatorCommand(
        path=("plugins", "disable"),
        help="Disable a plugin in ragwork.toml.",
        run=plugin_switch.disable,
        options=(plugin_switch.NAME,),
    ),
    OperatorCommand(
        path=("plugins", "lock"),
        help="Write the lock file: version and content of every enabled plugin.",
        run=_plugins_lock,
    ),
    OperatorCommand(
        path=("plugins", "verify"),
        help="Compare the enabled plugins with the lock file.",
        run=_plugins_verify,
    ),
    OperatorCommand(
        path=("config", "check"),
        help="Check every setting of every layer, and try what they name.",
        run=_config_check,
        options=(doctor.OFFLINE,),
    ),
    OperatorCommand(
        path=("config", "explain"),
        help="Which layer set a value (KEY: environment name or field), or all of them.",
        run=_config_explain,
        options=(Option(name="key", help="a setting", positional=True),),
    ),
    OperatorCommand(
        path=("dsn",),
        help="Print the database connection string.",
        run=_dsn,
        options=(Option(name="owner", help="the owner's instead of the application's", flag=True),),
    ),
    OperatorCommand(
        path=("jobs", "list"),
        help="Jobs, latest first.",
        run=job_commands.list_jobs,
        options=job_commands.LIST_OPTIONS,
    ),
    OperatorCommand(
        path=("jobs", "why"), help="Why a job failed.", run=job_commands.why, options=job_commands.ID_OPTIONS
    ),
    OperatorCommand(
        path=("jobs", "retry"),
        help="Queue a dead job again.",
        run=job_commands.retry,
        audit_event=job_commands.RETRIED,
        options=job_commands.ID_OPTIONS,
    ),
    OperatorCommand(
        path=("data", "stores"), help="What can be listed and exported.", run=data_commands.stores
    ),
    OperatorCommand(
        path=("data", "list"),
        help="A tenant's rows of a store, a page at a time.",
        run=data_commands.list_rows,
        audit_event=data_commands.LISTED,
        options=data_commands.LIST_OPTIONS,
    ),
    OperatorCommand(
        path=("data", "export"),
        help="All that a store has of a subject, as JSON lines.",
        run=data_commands.export,
        audit_event=data_commands.EXPORTED,
        options=data_commands.EXPORT_OPTIONS,
    ),
)
