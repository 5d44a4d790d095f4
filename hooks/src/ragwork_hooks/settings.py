"""How a plugin declares its settings: an attrs class whose fields name their environment variable.

Layers, weakest first: ``ragwork.toml``, ``.env``, environment, secret files. The kernel reads and
checks them; a plugin only receives the finished, frozen object.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from ragwork_hooks.errors import ConfigError

SETTING: Final = "ragwork.setting"


@attrs.frozen(kw_only=True)
class SettingInfo:
    """What the kernel knows of one field. ``env`` may hold one pattern part such as ``<PROVIDER>``."""

    env: str
    help: str
    secret: bool = False
    required_in_production: bool = False


def setting(
    env: str,
    default: Any,
    help: str,
    *,
    secret: bool = False,
    required_in_production: bool = False,
    ge: float | None = None,
    le: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare one field of a settings class.

    ``default`` is the value when no layer sets it (``None`` for unset). ``secret`` values are masked
    in every output. ``ge``/``le`` bound numbers, ``choices`` bounds strings; a violation stops the
    boot with a ``ConfigError``.
    """
    info = SettingInfo(env=env, help=help, secret=secret, required_in_production=required_in_production)
    return attrs.field(
        default=default,
        kw_only=True,
        repr=not secret,
        metadata={SETTING: info},
        validator=_bounds(env, ge, le, choices),
    )


def settings_of(config: type) -> Mapping[str, SettingInfo]:
    """Field name → declaration, for every field of the settings class ``config``."""
    found = {f.name: f.metadata.get(SETTING) for f in attrs.fields(config)}
    missing = [name for name, info in found.items() if info is None]
    if missing:
        raise TypeError(f"{config.__qualname__}: fields without setting(): {missing}")
    return {name: info for name, info in found.items() if info is not None}


def _bounds(
    env: str, ge: float | None, le: float | None, choices: tuple[str, ...]
) -> Callable[[object, Any, Any], None]:
    def check(_instance: object, _attribute: Any, value: Any) -> None:
        if value is None:
            return
        if ge is not None and not value >= ge:
            raise ConfigError(env, f"{value!r} is below {ge}", f"set it to {ge} or more")
        if le is not None and not value <= le:
            raise ConfigError(env, f"{value!r} is above {le}", f"set it to {le} or less")
        if choices and value not in choices:
            raise ConfigError(env, f"{value!r} is not known", f"choose one of {', '.join(choices)}")

    return check
