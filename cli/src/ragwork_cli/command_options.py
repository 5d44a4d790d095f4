"""What is typed on the command line, held against the declared option before a command runs."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import click
from ragwork_hooks.commands import Option, OptionType, OptionValue
from ragwork_kernel.data.db import check_tenant_id

_DURATION: Final = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


def parameter(option: Option) -> click.Parameter:
    """``option`` as click knows it."""
    kind = click.Choice(option.choices) if option.choices else OptionText(option)
    # To click a default of None is one, and a flag that is False says that the value may be missing.
    given: dict[str, Any] = {} if option.default is None else {"default": option.default}
    if option.positional:
        count = -1 if option.repeated else 1
        return click.Argument([option.name], required=option.required, type=kind, nargs=count, **given)
    return click.Option(
        [f"--{option.name}", option.name.replace("-", "_")],
        help=option.help,
        required=option.required,
        is_flag=option.flag or None,
        multiple=option.repeated,
        type=None if option.flag else kind,
        show_default=option.default is not None,
        **given,
    )


def value_of(option: Option, text: str) -> OptionValue:
    """``text`` as the value that the command gets. Raises ``ValueError`` saying what to write instead."""
    return _PARSERS[option.type](_printable(text), option)


class OptionText(click.ParamType[OptionValue]):
    """The text of one ``Option``, for click."""

    def __init__(self, option: Option) -> None:
        self._option = option
        self.name = option.type

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> OptionValue:
        try:
            return value_of(self._option, str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _printable(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty; leave the option out or give it a value")
    if _CONTROL.search(text):
        raise ValueError("has characters that can't be printed; write it as plain text")
    return text


def _integer(text: str, option: Option) -> int:
    value = int(text) if _INTEGER.fullmatch(text) else None
    if value is None or not option.minimum <= value <= option.maximum:
        raise ValueError(f"{text!r} is no whole number from {option.minimum} to {option.maximum}")
    return value


def _duration(text: str, _option: Option) -> timedelta:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no length of time; write it like 90d, 24h, 30m or 0s")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _tenant(text: str, _option: Option) -> str:
    return check_tenant_id(text)


def _path(text: str, _option: Option) -> str:
    return str(Path(text).expanduser().absolute())


def _text(text: str, _option: Option) -> str:
    return text


_PARSERS: Final[dict[OptionType, Callable[[str, Option], OptionValue]]] = {
    "text": _text,
    "integer": _integer,
    "duration": _duration,
    "tenant": _tenant,
    "path": _path,
}
