"""``ragwork``: the operator's commands, and those of the enabled plugins."""

import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import asyncpg
import click
from ragwork_hooks.commands import Command, OfflineCommand, OfflineCommandContext, Option, OptionValue
from ragwork_hooks.errors import ConfigError
from ragwork_kernel.base.config import ConfigErrors
from ragwork_kernel.base.layers import nearest
from ragwork_kernel.base.telemetry import configure_logging
from ragwork_kernel.boot import plugin_set as assemblies
from ragwork_kernel.boot.plugin_set import PluginSet

from ragwork_cli import command_socket, plugin_commands
from ragwork_cli.command_options import parameter
from ragwork_cli.console import TerminalConsole
from ragwork_cli.operator_commands import COMMANDS


def default_data_dir() -> Path:
    """``RAGWORK_DATA_DIR``, else the user's data folder, else a folder of this user under the temp directory."""
    named = os.environ.get("RAGWORK_DATA_DIR")
    if named:
        return Path(named)
    home = os.environ.get("XDG_DATA_HOME") or (
        os.environ.get("HOME") and f"{os.environ['HOME']}/.local/share"
    )
    if home:
        return Path(home) / "ragwork"
    return Path(f"/var/tmp/ragwork-{os.getuid()}")  # noqa: S108  # created 0700 by the database launcher


def main() -> None:
    """Entry point."""
    # Outside standalone mode click returns the status of an Exit instead of leaving with it.
    leave_with(lambda: _imported().main(standalone_mode=False))


def leave_with(run: Callable[[], int | None]) -> NoReturn:
    """End the process with the status that ``run`` gives. Expected failures are one line on standard error and a
    status other than 0.
    """
    try:
        sys.exit(run() or 0)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        _fail(_refusal(error), error.exit_code)
    except ConfigErrors as several:
        for one in several.errors[:-1]:
            sys.stderr.write(f"ragwork: {one}\n")
        _fail(str(several.errors[-1]), 2)
    except plugin_commands.EXPECTED as error:
        _fail(str(error), plugin_commands.status_of(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except (asyncpg.PostgresError, OSError) as error:
        _fail(f"{type(error).__name__}: {error}. Run `ragwork doctor` for the cause", 1)


def _imported() -> click.Group:
    """The command tree. What imports make stays: the collector looks at none of it, then or later."""
    gc.disable()
    try:
        return command_line()
    finally:
        gc.freeze()
        gc.enable()


def _refusal(error: click.ClickException) -> str:
    """What was wrong with the call, and where to look it up, in one line."""
    message = " ".join(error.format_message().split())
    context = error.ctx if isinstance(error, click.UsageError) else None
    return (
        f"{message}{'' if message[-1:] in '.?' else '.'} See `{context.command_path} --help`"
        if context
        else message
    )


def _fail(message: str, status: int) -> NoReturn:
    sys.stderr.write(f"ragwork: {message}\n")
    sys.exit(status)


def command_line() -> click.Group:
    """The whole command tree. A broken configuration leaves the operator's commands."""
    root = CommandGroup("ragwork", help="A multi-tenant RAG agent platform. See `ragwork COMMAND --help`.")
    for operator in COMMANDS:
        _add(root, operator.path, operator.help, operator.options, _operator_callback(operator.run))
    try:
        assembly = assemblies.survey()
    except ConfigError:
        return root  # the command itself reads it again and reports
    for plugin, command in plugin_commands.of(assembly):
        _add(root, command.path, command.help, command.options, _plugin_callback(plugin, command))
    return root


def _add(
    root: click.Group,
    path: tuple[str, ...],
    help_text: str,
    options: tuple[Option, ...],
    callback: Callable[..., None],
) -> None:
    group = root
    for name in path[:-1]:
        group = _group(group, name)
    parameters: list[click.Parameter] = [parameter(option) for option in options]
    parameters += [
        click.Option(
            ["--data-dir"],
            type=click.Path(path_type=Path, readable=False),
            help="where embedded data lives (RAGWORK_DATA_DIR)",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="print data as JSON"),
    ]
    group.add_command(click.Command(path[-1], params=parameters, callback=callback, help=help_text))


class CommandGroup(click.Group):
    """Commands under one word. Without a text of its own its help names them; a mistyped one is told the nearest."""

    def get_short_help_str(self, limit: int = 45) -> str:
        return super().get_short_help_str(limit) if self.help else ", ".join(sorted(self.commands))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            raise click.UsageError(
                f"there is no command {args[0]!r}; {nearest(args[0], sorted(self.commands))}", ctx
            ) from None


def _group(parent: click.Group, name: str) -> click.Group:
    """The group ``name``; a command of that name stays what the group does when nothing follows it."""
    child = parent.commands.get(name)
    if isinstance(child, click.Group):
        return child
    group = CommandGroup(name)
    if child is not None:
        alone = child.callback

        def callback(**values: Any) -> None:
            if alone is not None and click.get_current_context().invoked_subcommand is None:
                alone(**values)

        group = CommandGroup(
            name, params=child.params, callback=callback, help=child.help, invoke_without_command=True
        )
    parent.add_command(group)
    return group


def _operator_callback(
    run: Callable[[dict[str, Any], Path, TerminalConsole], Awaitable[int]],
) -> Callable[..., None]:
    def callback(data_dir: Path | None, as_json: bool, **options: Any) -> None:
        place = (data_dir or default_data_dir()).absolute()
        _exit(run_async(run(options, place, TerminalConsole(as_json))))

    return callback


def _plugin_callback(plugin: str, command: Command | OfflineCommand) -> Callable[..., None]:
    def callback(data_dir: Path | None, as_json: bool, **options: Any) -> None:
        place = (data_dir or default_data_dir()).absolute()
        given = {option.name: options[option.name.replace("-", "_")] for option in command.options}
        if isinstance(command, OfflineCommand):
            _exit(
                run_async(command.run(OfflineCommandContext(console=TerminalConsole(as_json), options=given)))
            )
            return
        assembly = assemblies.read()
        configure_logging("WARNING")
        _exit(run_async(_run_plugin_command(assembly, plugin, command, place, as_json, given)))

    return callback


async def _run_plugin_command(
    assembly: PluginSet,
    plugin: str,
    command: Command,
    data_dir: Path,
    as_json: bool,
    options: dict[str, OptionValue],
) -> int:
    """In the running server of the data directory when there is one, which is warm; else in one of its own."""
    status = await command_socket.run_there(assembly, data_dir, command, options, as_json)
    if status is not None:
        return status
    from ragwork_kernel.boot.boot import boot  # a whole kernel: where a server runs, none is needed

    async with boot(assembly, data_dir) as platform:
        console = TerminalConsole(as_json)
        working = partial(plugin_commands.working_here, platform)
        return await plugin_commands.run(platform, plugin, command, options, console, working)


def run_async(main: Any) -> Any:
    """Run to the end on uvloop where it exists."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


def _exit(status: int) -> None:
    if status:
        raise click.exceptions.Exit(status)
