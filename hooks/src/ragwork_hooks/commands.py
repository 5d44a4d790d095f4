"""Commands of the command line: their options, and what they are given."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import attrs

from ragwork_hooks.audit import AuditDetails
from ragwork_hooks.services import Services
from ragwork_hooks.storage import Transaction

V = TypeVar("V")


OptionType: TypeAlias = Literal["text", "integer", "duration", "tenant", "path"]


OptionValue: TypeAlias = str | bool | int | timedelta | tuple[str, ...] | None


@attrs.frozen(kw_only=True)
class Option:
    """A command-line option ``--name`` or, when ``positional``, an argument.

    What was typed is checked before the command runs: ``text`` is not empty and has no control characters,
    ``integer`` (an ``int``) lies from ``minimum`` to ``maximum``, ``duration`` (a ``timedelta``) is written like
    ``90d``, ``24h``, ``30m`` or ``0s``, ``tenant`` is a well-formed tenant id, and ``path`` is made absolute from where
    the command was typed. A ``flag`` is a ``bool``. What is ``repeated`` may be given several times and is a tuple of
    texts; of arguments only the last can be.
    """

    name: str
    help: str
    default: str | None = None
    required: bool = False
    flag: bool = False
    repeated: bool = False
    positional: bool = False
    choices: tuple[str, ...] = ()
    type: OptionType = "text"
    minimum: int = 0
    maximum: int = 2**31 - 1


class Console(Protocol):
    """Where a command talks to its user. With ``--json`` only ``result`` reaches standard output."""

    @property
    def json(self) -> bool: ...

    def say(self, text: str) -> None:
        """A line for people."""

    def write(self, piece: str) -> None:
        """A piece of a text for people, shown at once; nothing with ``--json``."""

    def result(self, data: object, text: str) -> None:
        """The outcome: ``data`` as JSON with ``--json``, else ``text``."""

    def table(self, rows: Sequence[Mapping[str, object]], columns: Sequence[str], empty: str) -> None:
        """The outcome is a list: ``rows`` as JSON with ``--json``, else its ``columns`` under a header, or ``empty``
        when there are none.
        """

    def progress(
        self, total: int, label: str, unit: str
    ) -> AbstractAsyncContextManager[Callable[[int], None]]:
        """A bar with rate and remaining time; call the given function with how many more are done."""


@attrs.frozen(kw_only=True)
class CommandContext:
    """What a command gets: booted services and its plugin's settings, without a listening server.

    ``actor`` is who typed it, ``operator:<user of the operating system>``. ``record`` writes what it did into the
    audit log, in the transaction of the effect, as its ``Command.audit_event`` unless the note names another.
    """

    services: "Services"
    config: Any
    console: Console
    options: Mapping[str, OptionValue]
    actor: str
    record: Callable[[Transaction, AuditDetails], Awaitable[None]]
    #: Surround waiting for jobs with this: in embedded mode it works the queue in this process.
    working: Callable[[], AbstractAsyncContextManager[None]]

    def text(self, name: str) -> str:
        """The value of a required text option."""
        return self._value(name, str)

    def integer(self, name: str) -> int:
        """The value of a required integer option."""
        return self._value(name, int)

    def duration(self, name: str) -> timedelta:
        """The value of a required duration option."""
        return self._value(name, timedelta)

    def _value(self, name: str, kind: type[V]) -> V:
        value = self.options[name]
        if not isinstance(value, kind):
            raise TypeError(f"--{name} is no {kind.__name__}")
        return value


@attrs.frozen(kw_only=True)
class Command:
    """A command ``ragwork <path>``; ``--data-dir`` and ``--json`` are added. ``run`` gives the exit status.

    ``audit_event`` is that of the route which does the same; ``None`` says that the command changes nothing.
    """

    path: tuple[str, ...]
    help: str
    options: tuple[Option, ...]
    audit_event: str | None
    run: Callable[[CommandContext], Awaitable[int]]


@attrs.frozen(kw_only=True)
class OfflineCommandContext:
    """What a tool gets: nothing is booted."""

    console: Console
    options: Mapping[str, OptionValue]


@attrs.frozen(kw_only=True)
class OfflineCommand:
    """A command that needs no platform: no database is started and no setting is demanded."""

    path: tuple[str, ...]
    help: str
    options: tuple[Option, ...]
    run: Callable[[OfflineCommandContext], Awaitable[int]]
