"""Commands of plugins: which there are, and running one on a booted platform."""

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Final

from ragwork_hooks.commands import Command, CommandContext, Console, OfflineCommand, OptionValue
from ragwork_hooks.errors import ConfigError, Problem, ProviderError
from ragwork_kernel.boot.plugin_set import PluginSet

from ragwork_cli.operator_records import OperatorRecords, operator

if TYPE_CHECKING:
    from ragwork_kernel.boot.boot import Platform

#: What refuses a command with one line.
EXPECTED: Final = (ConfigError, Problem, ProviderError)


def status_of(error: Exception) -> int:
    """The exit status of an expected failure: 2 for a wrong setting or call, else 1."""
    return 2 if isinstance(error, ConfigError) else 1


def of(assembly: PluginSet) -> Iterator[tuple[str, Command | OfflineCommand]]:
    """Every command of the enabled plugins, with its plugin's name."""
    for loaded in assembly.plugins:
        for command in assembly.call(loaded, "ragwork_commands") or ():
            yield loaded.name, command


def find(assembly: PluginSet, path: tuple[str, ...]) -> tuple[str, Command] | None:
    """The command of that path, with its plugin's name."""
    for name, command in of(assembly):
        if command.path == path and isinstance(command, Command):
            return name, command
    return None


async def run(
    platform: "Platform",
    plugin: str,
    command: Command,
    options: Mapping[str, OptionValue],
    console: Console,
    working: Callable[[], AbstractAsyncContextManager[None]],
    uid: int | None = None,
) -> int:
    """The command's exit status; ``uid`` is of who typed it, by default of this process.

    Raises ``ConfigError`` when its plugin is inactive or off, and what the command raises.
    """
    if plugin in platform.inactive:
        raise ConfigError(f"plugin {plugin!r}", platform.inactive[plugin], "see `ragwork plugins`")
    if plugin in platform.off:
        raise ConfigError(f"plugin {plugin!r}", "is off", platform.off[plugin])
    actor = operator(os.getuid() if uid is None else uid)
    context = CommandContext(
        services=platform.facades[plugin],
        config=platform.configs[plugin],
        console=console,
        options=options,
        actor=actor,
        record=OperatorRecords(log=platform.log, event=command.audit_event, actor=actor),
        working=working,
    )
    return await command.run(context)


@asynccontextmanager
async def working_here(platform: "Platform") -> AsyncIterator[None]:
    """For commands that wait for jobs: work the queue here when no worker of its own is expected."""
    if platform.assembly.kernel.works_in_serve and platform.urls.dispatcher is not None:
        async with platform.working():
            yield
    else:
        yield
