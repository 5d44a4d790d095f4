"""Commands in the running server: a Unix socket in the data directory that the same user's commands find.

A command that boots a platform of its own loads models for seconds and holds a second set of connections; the
server has both. One JSON object a line: the command goes in, what it prints comes back, its status last. Who may
open the socket may already read everything in the directory: it is its owner's alone, and the peer is checked.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ragwork_hooks.commands import Command, OptionValue
from ragwork_hooks.errors import ConfigError
from ragwork_kernel.base.error_answers import UNEXPECTED
from ragwork_kernel.boot.plugin_set import PluginSet

from ragwork_cli import plugin_commands
from ragwork_cli.console import TerminalConsole
from ragwork_cli.settings_report import explain

if TYPE_CHECKING:
    from ragwork_kernel.boot.boot import Platform

log = logging.getLogger(__name__)
NAME: Final = "serve.sock"
_LINE_LIMIT: Final = 16 * 1024 * 1024
_CONNECT_S: Final = 1.0
_PEER: Final = struct.Struct("3i")


# --- the server's side ------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def accepting(platform: "Platform", data_dir: Path) -> AsyncIterator[None]:
    """Run the commands of this user's other processes, until the block is left. Another server's socket stays."""
    path = data_dir / NAME
    if await _answers(path):
        yield
        return
    path.unlink(missing_ok=True)
    commands = _Commands(platform)
    try:
        listener = _bound(path)
    except OSError as error:
        log.warning("commands will not use this server: %s: %s", path, error)
        yield
        return
    server = await asyncio.start_unix_server(commands.serve, sock=listener, limit=_LINE_LIMIT)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)
        await commands.end()


@contextlib.asynccontextmanager
async def accepting_in_turn(turn: asyncio.Event, platform: "Platform", data_dir: Path) -> AsyncIterator[None]:
    """``accepting`` from ``turn`` on: of several processes of one server one has the socket."""

    async def accept() -> None:
        await turn.wait()
        async with accepting(platform, data_dir):
            await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(accept())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _bound(path: Path) -> socket.socket:
    """A socket that only this user may open from its first moment on."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


async def _answers(path: Path) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_unix_connection(str(path)), _CONNECT_S)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


class _Commands:
    """The commands that run in this process for others."""

    def __init__(self, platform: "Platform") -> None:
        self._platform = platform
        self._running: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # asyncio runs every connection in a task
        self._running.add(task)
        try:
            if _peer_uid(writer) in (0, os.getuid()):
                await self._converse(reader, writer)
        except (OSError, ValueError, asyncio.IncompleteReadError):
            log.info("a command left before its end")
        finally:
            self._running.discard(task)
            writer.close()

    async def end(self) -> None:
        """Cancel what still runs."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        if not line:
            return
        asked = json.loads(line)
        wrong = _differing(self._platform.assembly, asked["settings"])
        found = plugin_commands.find(self._platform.assembly, tuple(asked["path"]))
        if wrong or found is None:
            _send(writer, {"declined": wrong or ["its commands"]})
            return
        run = asyncio.create_task(self._run(*found, asked, writer))
        left = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait((run, left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            run.cancel()
            left.cancel()
            await asyncio.gather(run, left, return_exceptions=True)
        await writer.drain()

    async def _run(
        self, plugin: str, command: Command, asked: Mapping[str, Any], writer: asyncio.StreamWriter
    ) -> None:
        console = TerminalConsole(bool(asked["json"]), _Sent(writer, "out"), _Sent(writer, "err"))
        options = _read_options(asked["options"])
        try:
            # The worker of this server runs the jobs that the command waits for.
            status = await plugin_commands.run(
                self._platform,
                plugin,
                command,
                options,
                console,
                contextlib.nullcontext,
                _peer_uid(writer),
            )
        except plugin_commands.EXPECTED as error:
            _send(writer, {"refused": str(error), "status": plugin_commands.status_of(error)})
        except Exception:
            log.exception("command %s failed", " ".join(command.path))
            _send(writer, {"refused": UNEXPECTED, "status": 1})
        else:
            _send(writer, {"status": status})


class _Sent:
    """A text stream whose writes reach the other process at once."""

    def __init__(self, writer: asyncio.StreamWriter, name: str) -> None:
        self._writer = writer
        self._name = name

    def write(self, text: str) -> int:
        if not self._writer.is_closing():
            _send(self._writer, {self._name: text})
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""


def _peer_uid(writer: asyncio.StreamWriter) -> int:
    """Who is at the other end; where the system can't tell, whoever the file's permissions let in."""
    if not hasattr(socket, "SO_PEERCRED"):
        return os.getuid()
    peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    return int(_PEER.unpack(peer)[1])


def _send(writer: asyncio.StreamWriter, message: Mapping[str, object]) -> None:
    writer.write(json.dumps(message).encode() + b"\n")


# --- the command's side -----------------------------------------------------------------------------


async def run_there(
    assembly: PluginSet,
    data_dir: Path,
    command: Command,
    options: Mapping[str, OptionValue],
    as_json: bool,
) -> int | None:
    """Run ``command`` in the server of ``data_dir``; ``None`` when there is none that has the same settings.

    Raises ``ConfigError`` when the server goes away before the end.
    """
    path = data_dir / NAME
    try:
        opening = asyncio.open_unix_connection(str(path), limit=_LINE_LIMIT)
        reader, writer = await asyncio.wait_for(opening, _CONNECT_S)
    except (OSError, TimeoutError):
        return None
    asked = {
        "path": command.path,
        "options": _written_options(options),
        "json": as_json,
        "settings": _explicit(assembly),
    }
    try:
        writer.write(json.dumps(asked).encode() + b"\n")
        async for line in reader:
            message = json.loads(line)
            if "declined" in message:
                names = ", ".join(message["declined"])
                _say(
                    f"ragwork: the running server differs in {names}; this command starts a platform of its own\n"
                )
                return None
            sys.stdout.write(message.get("out", ""))
            sys.stdout.flush()
            _say(message.get("err", ""))
            if "refused" in message:
                _say(f"ragwork: {message['refused']}\n")
            if "status" in message:
                return int(message["status"])
    except ConnectionError:
        pass
    finally:
        writer.close()
    raise ConfigError(
        str(path), "the server stopped before the command ended", "look at its log, then repeat"
    )


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _explicit(assembly: PluginSet) -> dict[str, str]:
    """Digests of the settings that some layer sets here: what this command's user asked for."""
    return {env: digest for env, digest, by_default in _settings(assembly) if not by_default}


def _differing(assembly: PluginSet, explicit: Mapping[str, str]) -> list[str]:
    """Names among ``explicit`` whose value is another one in this process."""
    own = {env: digest for env, digest, _ in _settings(assembly)}
    return sorted(env for env, digest in explicit.items() if own.get(env) != digest)


def _settings(assembly: PluginSet) -> list[tuple[str, str, bool]]:
    """Name, digest of the value, and whether it is the default, of every setting."""
    values: dict[str, Any] = {}
    rows = []
    for row in explain(assembly.configuration):
        section = values.setdefault(row.section, None) or assembly.configuration.section(row.section)
        values[row.section] = section
        digest = hashlib.sha256(repr(getattr(section, row.field)).encode()).hexdigest()
        rows.append((row.env, digest, row.layer == "default"))
    return rows


def _written_options(options: Mapping[str, OptionValue]) -> dict[str, object]:
    return {
        name: {"seconds": value.total_seconds()} if isinstance(value, timedelta) else value
        for name, value in options.items()
    }


def _read_options(options: Mapping[str, Any]) -> dict[str, OptionValue]:
    return {name: _read_option(value) for name, value in options.items()}


def _read_option(value: Any) -> OptionValue:
    if isinstance(value, dict):
        return timedelta(seconds=value["seconds"])
    given: OptionValue = tuple(value) if isinstance(value, list) else value
    return given
